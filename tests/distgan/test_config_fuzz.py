"""Whatever a recipe says, it is a configuration or a refusal with three parts, and never another error."""

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distgan.config.run_config import AnyRun, apply_override, config_from_tables, read_config, read_tables
from storage.errors import DistganError

KEYS = sorted(
    {"run", "data", "method", "optimizer", "ema", "evaluate", "checkpoint", "prepare", "register", "cluster", "split"}
    | {"name", "seed", "images", "batch_size", "workers", "virtual_shards", "store", "subset", "fraction", "by"}
    | {"held_out", "preset", "width", "critic", "generator", "lr", "betas", "kind", "every_images", "keep", "patch"}
    | {"size", "operations", "penalty", "reduction", "alias", "", "nonsense", "__init__", "model_config"}
)
scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 2, 8, 2**63, 10**30, "0", "8", "wgan_gp", "small", "exact"]),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.times(),
    st.datetimes(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
whole = st.dictionaries(st.sampled_from(KEYS), values, max_size=6)
known = read_config(Path("rosette_wgan_gp")).flat()
real = sorted({tuple(key.split(".")[:depth]) for key in known for depth in (1, 2, 3)})
places = st.sampled_from(real) | st.lists(st.sampled_from(KEYS), min_size=1, max_size=3).map(tuple)
changes = st.lists(st.tuples(places, values), min_size=1, max_size=4)
AWKWARD: list[Any] = [
    *(True, 0, -1, 10**30, 1e308, float("nan"), float("inf"), "", "0", "8", "wgan_gp", "\0", date(2020, 1, 1)),
    *([], [1], [[]], ["a", 1], [{"name": date(2020, 1, 1)}], [{"low": float("nan")}], {}, {"": 1}, {"a": {"b": []}}),
]


def outcome(tables: dict[str, Any]) -> AnyRun | DistganError:
    try:
        return config_from_tables(tables, "the test")
    except DistganError as error:
        found = error
    assert all((found.wrong, found.found, found.do))
    return found


def check(changed: list[tuple[tuple[str, ...], Any]]) -> None:
    """Change a recipe; if it is still one, it survives JSON."""
    tables = copy.deepcopy(read_tables(Path("rosette_wgan_gp")))
    for (*parents, last), value in changed:
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {}) if isinstance(table, dict) else {}
        if isinstance(table, dict):
            table[last] = value
    found = outcome(tables)
    if not isinstance(found, DistganError):
        assert outcome(json.loads(json.dumps(found.dump()))) == found


@pytest.mark.parametrize("place", real, ids=".".join)
def test_an_awkward_value_at_every_place_of_a_recipe(place: tuple[str, ...]) -> None:
    for value in AWKWARD:
        check([(place, value)])


@settings(max_examples=200)
@given(whole)
def test_random_tables(tables: dict[str, Any]) -> None:
    outcome(tables)


@settings(max_examples=400)
@given(changes)
def test_a_recipe_with_random_changes(changed: list[tuple[tuple[str, ...], Any]]) -> None:
    check(changed)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(KEYS), max_size=3), st.text(max_size=12) | st.sampled_from(["=0", "=[", "={}", "=''"]))
def test_random_overrides(places: list[str], text: str) -> None:
    tables = read_tables(Path("rosette_wgan_gp"))
    try:
        apply_override(tables, ".".join(places) + text)
    except DistganError:
        return
    outcome(tables)


def test_the_untouched_recipe_is_a_configuration() -> None:
    """Else the changes above would be made to something that is refused anyway."""
    assert not isinstance(outcome(read_tables(Path("rosette_wgan_gp"))), DistganError)
