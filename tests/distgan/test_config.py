"""Recipes: what may be said, what is said back of mistakes, and what comes out."""

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from distgan.config.run_config import (
    RECIPES,
    apply_override,
    config_from_tables,
    read_config,
    read_prepare,
    read_tables,
)
from storage.errors import MissingError, RecipeError
from storage.pipeline import Pipeline


def refused(tables: dict[str, Any]) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        config_from_tables(tables, "the test")
    return caught.value


def set_in(tables: dict[str, Any], **dotted: Any) -> dict[str, Any]:
    """run__images=0 sets run.images."""
    changed = copy.deepcopy(tables)
    for key, value in dotted.items():
        *parents, last = key.split("__")
        table = changed
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return changed


RUNS = [path for path in sorted(RECIPES.glob("*.toml")) if not path.stem.startswith(("figures_", "prepare_"))]


@pytest.mark.parametrize("recipe", sorted({*RECIPES.glob("prepare_*.toml")}), ids=lambda path: path.stem)
def test_every_recipe_for_stores_alone_names_operations_that_exist(recipe: Path) -> None:
    how, store = read_prepare(Path(recipe.stem))
    assert how.source
    assert store
    for operations in (how.operations, how.patch.operations):
        assert len(Pipeline.of(operations).steps) == len(operations)


@pytest.mark.parametrize("recipe", RUNS, ids=lambda path: path.stem)
def test_every_recipe_that_comes_along_is_one(recipe: Path) -> None:
    config = read_config(recipe)
    assert read_config(Path(recipe.stem)) == config  # by its name alone
    assert config_from_tables(json.loads(json.dumps(config.dump())), "json") == config


def test_a_configuration_survives_json_and_is_frozen(tables: dict[str, Any]) -> None:
    extra = {
        "prepare": {"source": "a", "patch": {"size": 32}, "operations": [{"name": "median", "size_zyx": [3, 3, 3]}]}
    }
    config = config_from_tables(tables | extra | {"register": {"name": "m"}}, "the test")
    assert config_from_tables(json.loads(json.dumps(config.dump())), "json") == config
    with pytest.raises(ValueError, match="frozen"):
        config.run.images = 1


def test_dotted_keys_name_every_number_of_the_run(tables: dict[str, Any]) -> None:
    flat = config_from_tables(tables, "the test").flat()
    assert flat["method.penalty"] == 10.0
    assert flat["optimizer.generator.betas"] == [0.0, 0.9]
    assert flat["data.split.held_out"] == 0.25
    assert flat["register.alias"] == "candidate"
    assert not any(isinstance(value, dict) and value for value in flat.values())


# mistakes


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("run__batchsize", "did you mean run.batch_size?"),
        ("method__penality", "did you mean method.penalty?"),
        ("optimizer__critic__beta", "did you mean optimizer.critic.betas?"),
        ("data__split__heldout", "did you mean data.split.held_out?"),
        ("checkpoints", "did you mean checkpoint?"),
        ("regster", "did you mean register?"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_known_one(tables: dict[str, Any], key: str, near: str) -> None:
    found = refused(set_in(tables, **{key: 1})).found
    assert f"unknown key {key.replace('__', '.')}" in found
    assert near in found


def test_all_mistakes_are_told_at_once(tables: dict[str, Any]) -> None:
    bad = set_in(tables, run__images=0, method__penalty=-1, ema__half_life=3, data__fraction=1.5)
    del bad["evaluate"]["every_images"]
    found = refused(bad).found
    for part in ("run.images", "method.penalty", "ema.half_life", "data.fraction", "evaluate.every_images is missing"):
        assert part in found
    assert found.count(";") == 4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run__seed", -1),
        ("run__seed", 2**62),
        ("run__batch_size", 0),
        ("run__virtual_shards", "0"),
        ("run__virtual_shards", -2),
        ("run__name", "../elsewhere"),
        ("run__reduction", "quick"),
        ("data__fraction", 0),
        ("data__split__held_out", 1),
        ("optimizer__lr", 0),
        ("optimizer__lr", float("nan")),
        ("optimizer__betas", [0.9, 1.0]),
        ("optimizer__betas", [-0.1, 0.9]),
        ("optimizer__betas", [0.9]),
        ("method__width", 3),
        ("method__preset", "big"),
        ("method__preset", ["small"]),
        ("method__name", "wgangp"),
        ("method__name", ["wgan_gp"]),
        ("evaluate__samples", 99),
        ("checkpoint__keep", 1),
        ("prepare", {"source": "a", "patch": {"size": 32}, "seed": 2**64}),
        ("prepare", {"source": "a", "patch": {"size": 32}, "operations": [{"low": float("inf")}]}),
        ("prepare", {"source": "a", "patch": {"size": 32}, "operations": [{"low": date(2020, 1, 1)}]}),
        ("optimizer", 5),
        ("optimizer__critic", 5),
        ("optimizer__discriminator", {"lr": 1.0}),
        ("run", 5),
        ("method", "wgan_gp"),
    ],
)
def test_what_is_out_of_range_or_of_another_kind_is_refused(tables: dict[str, Any], key: str, value: Any) -> None:
    error = refused(set_in(tables, **{key: value}))
    assert error.exit_code == 2
    assert key.split("__")[-1] in str(error) or str(value) in str(error)


def test_a_batch_must_be_a_multiple_of_its_virtual_shards(tables: dict[str, Any]) -> None:
    assert "batch_size 8 is not a multiple of virtual_shards 3" in refused(set_in(tables, run__virtual_shards=3)).found


def test_workers_cannot_be_more_than_virtual_shards(tables: dict[str, Any]) -> None:
    assert "workers 4 is more than virtual_shards 2" in refused(set_in(tables, run__workers=4)).found


@pytest.mark.parametrize("unset", [{}, {"virtual_shards": 0}])
def test_virtual_shards_are_by_default_the_workers(tables: dict[str, Any], unset: dict[str, int]) -> None:
    tables["run"] = {key: value for key, value in tables["run"].items() if key != "virtual_shards"}
    config = config_from_tables(set_in(tables, run=tables["run"] | {"workers": 4} | unset), "the test")
    assert (config.run.virtual_shards, config.shard_size) == (4, 2)


def test_workers_may_be_a_range_and_the_shards_are_those_of_the_most(tables: dict[str, Any]) -> None:
    tables["run"] = {key: value for key, value in tables["run"].items() if key != "virtual_shards"}
    run = config_from_tables(set_in(tables, run__workers=[1, 4]), "the test").run
    assert (run.least_workers, run.most_workers, run.virtual_shards) == (1, 4, 4)


@pytest.mark.parametrize("workers", [0, -1, True, "two", [], [1], [2, 1], [0, 2], [1, 2, 3], [1, "two"]])
def test_workers_that_are_no_number_and_no_range_are_refused(tables: dict[str, Any], workers: object) -> None:
    assert "run.workers" in refused(set_in(tables, run__workers=workers)).found


# preset, recipe, override


def test_a_preset_lies_below_the_recipe_and_the_recipe_below_an_override(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[run]\nname = "r"\nimages = 8\nbatch_size = 8\n[data]\nstore = "s"\n[evaluate]\nevery_images = 8\n'
        '[checkpoint]\nevery_images = 8\n[method]\nname = "wgan_gp"\npreset = "paper"\npenalty = 2.0\n'
        "[optimizer]\nlr = 0.5\n"
    )
    config = read_config(recipe, ["method.penalty=3", "optimizer.generator.lr=0.25", "run.name=other"])
    assert config.method.critic_norm == "batch"  # the preset's
    assert config.method.penalty == 3.0
    assert read_config(recipe).method.penalty == 2.0
    assert config.optimizer["critic"].lr == 1e-5  # the preset's own for that network
    assert config.optimizer["generator"].lr == 0.25
    assert read_config(recipe).optimizer["generator"].lr == 0.5
    assert config.optimizer["generator"].betas == (0.5, 0.999)
    assert config.run.name == "other"
    assert config.method.width == 32  # nobody's, so the default


def test_a_network_s_own_settings_lie_above_the_common_ones(tables: dict[str, Any]) -> None:
    own = {"optimizer": {"lr": 0.5, "schedule": "linear", "critic": {"lr": 0.25, "kind": "sgd"}}}
    critic, generator = config_from_tables(tables | own, "the test").optimizer.values()
    assert (critic.lr, critic.kind, critic.schedule) == (0.25, "sgd", "linear")
    assert (generator.lr, generator.kind, generator.schedule) == (0.5, "adam", "linear")


def test_settings_of_an_unknown_network_are_refused_with_the_known_ones(tables: dict[str, Any]) -> None:
    error = refused(tables | {"optimizer": {"lr": 0.5, "discriminator": {"lr": 0.25}}})
    assert "discriminator" in error.wrong
    assert "critic, generator" in error.found


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("a=5", {"a": 5}),
        ("a=1e-4", {"a": 1e-4}),
        ("a=true", {"a": True}),
        ('a="5"', {"a": "5"}),
        ("a=[1, 2]", {"a": [1, 2]}),
        ("a={ x = 1 }", {"a": {"x": 1}}),
        ("a=small", {"a": "small"}),
        ("a=models:/m@best", {"a": "models:/m@best"}),
        ("a=/tmp/x=y.zarr", {"a": "/tmp/x=y.zarr"}),
        ("a=", {"a": ""}),
        (" a.b.c =5", {"a": {"b": {"c": 5}}}),
        ("t.k=9", {"t": {"k": 9, "l": 2}}),
        ("a=1" + "0" * 5000, {"a": "1" + "0" * 5000}),
        ("a=" + "[" * 5000, {"a": "[" * 5000}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_value_of_an_override_is_toml_or_else_text(override: str, wanted: dict[str, Any]) -> None:
    tables: dict[str, Any] = {"t": {"k": 1, "l": 2}}
    apply_override(tables, override)
    assert tables == {"t": {"k": 1, "l": 2}} | wanted


@pytest.mark.parametrize("override", ["", "a", "=5", " =5", "t.k.deeper=1"])
def test_an_override_that_sets_no_key_is_refused(override: str) -> None:
    with pytest.raises(RecipeError):
        apply_override({"t": {"k": 1}}, override)


# files


def test_a_recipe_that_is_not_there_is_missing_and_the_known_ones_are_listed() -> None:
    with pytest.raises(MissingError) as caught:
        read_tables(Path("/nowhere/recipe.toml"))
    assert all(path.stem in caught.value.found for path in RECIPES.glob("*.toml"))


@pytest.mark.parametrize(
    "content",
    [b"[run\n", b"a = 1\na = 2\n", b"\xff\xfe", b"a = " + b"[" * 5000, b"a = 1" + b"0" * 5000, b"images = 1_\n"],
    ids=["bracket", "twice", "no text", "deep", "long", "number"],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(RecipeError, match="not a TOML file"):
        read_tables(tmp_path / "bad.toml")


def test_a_recipe_without_a_method_is_refused(tables: dict[str, Any]) -> None:
    del tables["method"]
    assert "names no method" in refused(tables).wrong
