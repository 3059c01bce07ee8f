"""Points of a space, and the recipes they make."""

from typing import Any

import pytest

from distgan.config.run_config import config_from_tables
from storage.errors import RecipeError
from tune.space import Space

TABLES: dict[str, Any] = {
    "run": {"name": "s", "images": 900, "batch_size": 8, "workers": 2},
    "data": {"store": "nowhere"},
    "method": {"name": "wgan_gp", "preset": "small"},
    "evaluate": {"every_images": 100},
    "checkpoint": {"every_images": 100},
}


def space(**tune: Any) -> Space:
    tables = TABLES | {"tune": {"trials": 3} | tune}
    config = config_from_tables(tables, "the test")
    assert config.tune is not None
    return Space(tables, config.tune)


WIDTH = {"int": [4, 16], "when": {"method.preset": "small"}}
CONDITIONAL = {"method.preset": {"choice": ["small", "paper"]}, "method.width": WIDTH}


def test_a_point_depends_on_the_seed_and_its_number_alone() -> None:
    keys = {"optimizer.lr": {"loguniform": [1e-5, 1e-3]}, "method.penalty": {"uniform": [1.0, 20.0]}}
    one, same, other = space(space=keys), space(space=keys), space(space=keys, seed=1)
    points = [one.random(number) for number in range(20)]
    assert [same.random(number) for number in reversed(range(20))] == points[::-1]
    assert [other.random(number) for number in range(20)] != points
    assert all(1e-5 <= point["optimizer.lr"] <= 1e-3 and 1 <= point["method.penalty"] <= 20 for point in points)
    assert sum(point["optimizer.lr"] < 1e-4 for point in points) > 5  # half of a loguniform is below its middle


def test_a_conditional_key_is_set_only_where_it_is_wanted() -> None:
    points = [space(space=CONDITIONAL).random(number) for number in range(30)]
    assert {("method.width" in point) == (point["method.preset"] == "small") for point in points} == {True}
    assert {point["method.preset"] for point in points} == {"small", "paper"}


def test_a_condition_looks_at_the_recipe_where_the_space_says_nothing() -> None:
    on, off = ({"method.width": {"int": [4, 8], "when": {"method.preset": preset}}} for preset in ("small", "paper"))
    assert "method.width" in space(space=on).random(0)
    assert space(space=off).random(0) == {}


def test_a_grid_has_each_point_once() -> None:
    keys = CONDITIONAL | {"method.width": WIDTH | {"int": [4, 6]}}
    assert space(space=keys, searcher="grid").grid() == [
        {"method.preset": "small", "method.width": 4},
        {"method.preset": "small", "method.width": 5},
        {"method.preset": "small", "method.width": 6},
        {"method.preset": "paper"},
    ]


def test_a_trial_is_the_recipe_with_the_point_in_it() -> None:
    config = space(space={"optimizer.lr": {"uniform": [1e-5, 1e-3]}}, images_per_trial=80).config(
        {"optimizer.lr": 5e-4}, 7
    )
    assert {one.lr for one in config.optimizer.values()} == {5e-4}
    assert (config.run.name, config.run.images, config.run.workers) == ("s-0007", 80, 1)
    assert config.run.virtual_shards == 2, "the mathematics is that of the recipe, whatever the workers"
    assert config.tune is None


def test_a_point_may_change_the_preset() -> None:
    config = space(space=CONDITIONAL).config({"method.preset": "paper"}, 0)
    assert config.method.critic_norm == "batch"
    assert config.optimizer["critic"].lr == 1e-5


@pytest.mark.parametrize(
    ("key", "domain", "found"),
    [
        ("optimizer.lrr", {"uniform": [1e-5, 1e-3]}, "did you mean optimizer.critic.lr?"),
        ("methood.width", {"int": [4, 8]}, "did you mean method?"),
        ("optimizer.lr", {"uniform": [-1e-3, 1e-3]}, "optimizer.lr = -0.001"),
        ("method.width", {"choice": [8, 9999]}, "method.width = 9999"),
        ("run.batch_size", {"int": [8, 12]}, "not a multiple"),
        ("run.name.x", {"int": [8, 12]}, ""),
    ],
)
def test_a_space_that_makes_no_recipes_is_refused_with_the_point_and_the_complaint(
    key: str, domain: dict[str, Any], found: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        space(space={key: domain}).check()
    assert found in caught.value.found
