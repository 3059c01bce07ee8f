"""A whole run in this process: what it leaves, and what it leaves when it is disturbed."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distgan import methods, trainer
from distgan.checkpoint import Checkpoints, Snapshot
from distgan.config import AnyRun, config_from_tables
from distgan.inference.sample import sample
from distgan.model import load_model
from distgan.running import STOP, final_metrics
from distgan.tracking import read_lines
from storage.cuts import Cut
from storage.errors import DataError, DivergedError, InterruptedRun, RecipeError
from storage.preprocess import Preparation, prepare

Train = Callable[[AnyRun, Path], None]
LOSSES = {"loss/distance", "loss/penalty", "loss/generator"}


@pytest.fixture
def config(tables: dict[str, Any]) -> AnyRun:
    return config_from_tables(tables, "the test")


def snapshot(folder: Path) -> Snapshot:
    found = Checkpoints(folder / "checkpoints", 2).latest()
    assert found is not None
    return found


def digest(folder: Path) -> str:
    return str(snapshot(folder).facts["state_sha256"])


def said(folder: Path) -> list[dict[str, Any]]:
    """The lines of the run, without what depends on the clock."""
    lines = list(read_lines(folder))
    for line in lines:
        line.pop("time", None)
        line.get("metrics", {}).pop("images_per_second", None)
    return lines


def places(folder: Path, metric: str) -> list[int]:
    return [line["images_seen"] for line in read_lines(folder) if metric in line.get("metrics", {})]


# what a run leaves


def test_every_number_is_there_once_and_at_its_place(finished: Path) -> None:
    assert places(finished, "kid_floor") == places(finished, "kid_untrained") == [0]
    assert places(finished, "kid") == [0, 64, 128]
    for name in (*LOSSES, "images_per_second"):
        assert places(finished, name) == list(range(16, 129, 16))
    assert [line["images_seen"] for line in said(finished)] == sorted(line["images_seen"] for line in said(finished))


def test_distances_lie_in_their_intervals_and_all_numbers_are_finite(finished: Path) -> None:
    found = final_metrics(finished)
    for name in ("kid", "kid_floor", "kid_untrained"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
    assert all(math.isfinite(value) for line in read_lines(finished) for value in line.get("metrics", {}).values())


def test_the_floor_is_nearer_than_an_untrained_network(finished: Path) -> None:
    found = final_metrics(finished)
    assert found["kid_floor"] < 0.1 * found["kid_untrained"]


def test_the_settings_and_the_figures_are_kept(finished: Path, config: AnyRun) -> None:
    params = json.loads((finished / "params.json").read_text())
    assert len(params.pop("features_sha256")) == 64
    assert {key: value for key, value in params.items() if not key.startswith("leaks.")} == config.flat()
    figures = [finished / line["artifact"] for line in read_lines(finished) if "artifact" in line]
    assert sorted(path.name for path in figures) == [
        "kid-000000000064.png",
        "kid-000000000128.png",
        "samples-000000000064.png",
        "samples-000000000128.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in figures)


def test_the_newest_checkpoints_are_kept_with_the_recipe(finished: Path, config: AnyRun) -> None:
    assert sorted(path.name for path in (finished / "checkpoints").iterdir()) == [
        "images-000000000096",
        "images-000000000128",
    ]
    facts = snapshot(finished).facts
    assert (facts["images_seen"], facts["steps"]) == (128, 16)
    assert config_from_tables(facts["recipe"], "the checkpoint") == config


def test_the_model_can_be_loaded_and_sampled(finished: Path) -> None:
    model = load_model(finished / "model")
    assert model.card["state_sha256"] == digest(finished)
    assert model.card["metrics"] == final_metrics(finished)
    (images,) = sample(model, 3, seed=0)
    assert images.shape == (3, 1, 32, 32)


def test_the_model_is_the_average_of_the_generator_and_the_last_critic(finished: Path) -> None:
    state, model = snapshot(finished).state, load_model(finished / "model")
    for name, value in model.method.generator.state_dict().items():
        assert torch.equal(value, state[f"average.generator.{name}"])
    for name, value in model.method.critic.state_dict().items():
        assert torch.equal(value, state[f"method.critic.{name}"])


def test_running_a_finished_run_again_changes_nothing(
    finished: Path, config: AnyRun, train: Train, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "again")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    train(config, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_looking_at_a_run_does_not_change_it(
    finished: Path, tables: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    tables["evaluate"]["every_images"] = tables["run"]["log_every_images"] = 8
    tables["checkpoint"]["every_images"] = 128
    train(config_from_tables(tables, "the test"), tmp_path / "run")
    assert digest(tmp_path / "run") == digest(finished)


# disturbed runs


class Killed(BaseException):
    """As if the process were gone."""


@pytest.mark.parametrize("step", [1, 6, 9, 16])
def test_a_run_killed_anywhere_ends_as_if_it_were_not(
    finished: Path, config: AnyRun, train: Train, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first checkpoint, between two, right after one, and after the last step."""
    whole = trainer.Trainer.fit

    def fit(self: trainer.Trainer, observe: trainer.Observer) -> None:
        def until_killed(self: trainer.Trainer, terms: dict[str, Tensor]) -> bool:
            observe(self, terms)
            if self.steps == step:
                raise Killed
            return True

        whole(self, until_killed)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "fit", fit)
        with pytest.raises(Killed):
            train(config, tmp_path / "run")
    train(config, tmp_path / "run")
    assert digest(tmp_path / "run") == digest(finished)
    assert said(tmp_path / "run") == said(finished)
    assert load_model(tmp_path / "run" / "model").card["state_sha256"] == digest(finished)


def test_a_run_asked_to_stop_commits_first_and_then_ends_as_if_it_were_not(
    finished: Path, tables: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    tables["checkpoint"]["every_images"] = 48  # no checkpoint is due where it is asked to stop
    config, folder = config_from_tables(tables, "the test"), tmp_path / "run"
    folder.mkdir()
    (folder / STOP).touch()
    with pytest.raises(InterruptedRun) as caught:
        train(config, folder)
    assert caught.value.exit_code == 75
    assert snapshot(folder).facts["images_seen"] == 64
    assert "64 images" in caught.value.found
    assert not (folder / "model").exists()
    (folder / STOP).unlink()
    train(config, folder)
    assert digest(folder) == digest(finished)
    assert said(folder) == said(finished)


def test_going_on_with_another_store_is_refused(
    images: Path, tables: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    tables["run"]["images"] = 32
    train(config_from_tables(tables, "the test"), tmp_path / "run")
    prepare(images, tmp_path / "other.zarr", Preparation(Cut("tiled", (32, 32)), seed=1))
    tables["run"]["images"], tables["data"]["store"] = 64, str(tmp_path / "other.zarr")
    with pytest.raises(DataError, match="another store"):
        train(config_from_tables(tables, "the test"), tmp_path / "run")


def test_too_few_images_to_compare_with_are_refused_before_training(
    tables: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    tables["data"]["split"]["held_out"] = 0.1  # one picture, nine patches
    with pytest.raises(RecipeError, match=r"data\.split\.held_out"):
        train(config_from_tables(tables, "the test"), tmp_path / "run")


@pytest.mark.parametrize(
    ("log_every", "named"),
    [(8, "loss/distance"), (128, "weight")],
    ids=["seen in a loss", "seen in a weight when it is to be saved"],
)
def test_a_run_that_diverges_ends_and_its_last_checkpoint_is_finite(
    tables: dict[str, Any],
    train: Train,
    tmp_path: Path,
    log_every: int,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0
    right = methods.load_method("wgan_gp").critic_loss

    def loss(self: Any, step: Any) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        terms = dict(right(self, step))
        return terms | {"distance": terms["distance"] * (float("nan") if calls > 2 * 5 else 1)}

    monkeypatch.setattr(methods.load_method("wgan_gp"), "critic_loss", loss)
    tables["run"]["log_every_images"] = log_every
    tables["evaluate"]["every_images"] = 128
    with pytest.raises(DivergedError) as caught:
        train(config_from_tables(tables, "the test"), tmp_path / "run")
    assert named in caught.value.found
    assert caught.value.exit_code == 76
    kept = snapshot(tmp_path / "run")
    assert kept.facts["images_seen"] == 32
    assert all(torch.isfinite(value).all() for value in kept.state.values())
    assert not (tmp_path / "run" / "model").exists()
