"""`[prepare]`: what a recipe may say of making patches, alone or beside a training, and what contradicts itself."""

import copy
from pathlib import Path
from typing import Any

import pytest

from distgan.config.prepare_sections import Prepare
from distgan.config.run_config import config_from_tables, read_prepare
from storage.errors import MissingError, RecipeError

ALONE = """
[prepare]
source = "images.ome.zarr"
times = [60, 109]
slices = [8, 12]
operations = [
  { name = "median", size_zyx = [2, 2, 2] },
  { name = "display_range", low = 2500, high = 4200 },
]

[prepare.patch]
size = 128
cut = "boxes"
boxes = "boxes.csv"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe for stores alone."""
    path = tmp_path / "rosettes_raw.toml"
    path.write_text(ALONE)
    return path


def prepare_of(tables: dict[str, Any], prepare: dict[str, Any]) -> Prepare:
    found: Prepare | None = config_from_tables(copy.deepcopy(tables) | {"prepare": prepare}, "the test").prepare
    assert found is not None
    return found


def refused(tables: dict[str, Any], prepare: dict[str, Any]) -> str:
    with pytest.raises(RecipeError) as caught:
        prepare_of(tables, prepare)
    return caught.value.found


def test_a_recipe_for_stores_alone_needs_no_other_table(recipe: Path) -> None:
    found, store = read_prepare(recipe)
    assert store == ""
    assert (found.source, found.times, found.slices) == ("images.ome.zarr", (60, 109), (8, 12))
    assert (found.patch.edges, found.patch.cut, found.patch.boxes) == ((128, 128), "boxes", "boxes.csv")
    assert [one["name"] for one in found.operations] == ["median", "display_range"]
    assert (found.executor, found.workers, found.seed, found.codec) == ("threads", 2, 0, {"name": "zstd"})


def test_it_may_name_its_store_and_be_overridden(recipe: Path) -> None:
    found, store = read_prepare(recipe, ["data.store=patches.zarr", "prepare.patch.count=3", "prepare.workers=4"])
    assert store == "patches.zarr"
    assert (found.patch.count, found.workers) == (3, 4)


def test_a_recipe_that_trains_prepares_too(tables: dict[str, Any], tmp_path: Path) -> None:
    found = prepare_of(tables, {"patch": {"size": 32}})
    assert (found.patch.cut, found.patch.edges) == ("tiled", (32, 32))
    found, store = read_prepare(Path("demo"))
    assert (found.patch.edges, store) == ((32, 32), "patches.zarr")


def test_a_recipe_that_does_not_say_how_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.write_text("")
    with pytest.raises(RecipeError, match="prepare is missing"):
        read_prepare(path)
    with pytest.raises(MissingError, match="nowhere"):
        read_prepare(tmp_path / "nowhere.toml")


def test_a_recipe_that_only_trains_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trains.toml"
    path.write_text(TRAINS)
    with pytest.raises(RecipeError, match=r"does not say how to prepare.*no \[prepare\]"):
        read_prepare(path)


TRAINS = """
run = { name = "tiny", images = 128, batch_size = 8 }
data = { store = "patches.zarr" }
method = { name = "wgan_gp" }
evaluate = { every_images = 64 }
checkpoint = { every_images = 32 }
"""


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("prepare.patch.sizes", "did you mean prepare.patch.size?"),
        ("prepare.patch.object", "did you mean prepare.patch.objects?"),
        ("prepare.operation", "did you mean prepare.operations?"),
        ("prepare.adress", "did you mean prepare.address?"),
        ("prepare.neighbours.chanel", "did you mean prepare.neighbours.channel?"),
        ("data.stores", "did you mean data.store?"),
        ("prepair", "did you mean prepare?"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_known_one(key: str, near: str, recipe: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        read_prepare(recipe, [f"{key}=1"])
    assert f"unknown key {key} ({near})" in caught.value.found


@pytest.mark.parametrize(
    ("size", "dimensions", "edges"),
    [
        (7, None, (7, 7)),
        ([7, 8], None, (7, 8)),
        ([3, 7, 8], None, (3, 7, 8)),
        (7, 3, (7, 7, 7)),
        ([3, 7, 8], 3, (3, 7, 8)),
    ],
)
def test_sizes(size: Any, dimensions: int | None, edges: tuple[int, ...], tables: dict[str, Any]) -> None:
    said = {"size": size} | ({"dimensions": dimensions} if dimensions else {})
    patch = prepare_of(tables, {"patch": said}).patch
    assert (patch.edges, patch.dimensions) == (edges, len(edges))


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ({}, "cut tiled wants size, 2 edges or one number"),
        ({"size": [8]}, "cut tiled wants size, 2 edges"),
        ({"size": [8, 8], "dimensions": 3}, "cut tiled wants size, 3 edges"),
        ({"size": [8, 8, 8], "dimensions": 2}, "cut tiled wants size, 2 edges"),
        ({"size": [8, 0]}, "size must be positive"),
        ({"size": -8}, "size must be positive"),
        ({"size": 8, "cut": "circles"}, "prepare.patch.cut: Input should be"),
        ({"size": 8, "cut": "boxes"}, 'boxes and cut = "boxes" go together'),
        ({"size": 8, "boxes": "boxes.csv"}, 'boxes and cut = "boxes" go together'),
        ({"size": 8, "cut": "objects"}, 'objects and cut = "objects" go together'),
        ({"size": 8, "cut": "random", "objects": "cell"}, 'objects and cut = "objects" go together'),
        ({"size": 8, "count": 3}, 'count has no meaning for cut = "tiled", but for random and boxes'),
        ({"size": 8, "cut": "one_random", "count": 3}, 'count has no meaning for cut = "one_random"'),
        ({"size": 8, "cut": "random", "count": 0}, "prepare.patch.count"),
        ({"size": 8, "border": True}, 'matched and border have no meaning for cut = "tiled"'),
        ({"size": 8, "cut": "random", "matched": ["cell"]}, 'no meaning for cut = "random", but for objects'),
        ({"cut": "whole", "size": 8}, 'size has no meaning for cut = "whole"'),
        ({"size": 8, "dimensions": 4}, "prepare.patch.dimensions"),
    ],
)
def test_what_a_patch_cannot_be(patch: dict[str, Any], told: str, tables: dict[str, Any]) -> None:
    assert told in refused(tables, {"patch": patch})


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        ({"times": [5, 3]}, "prepare.times: first and last are counted from 0"),
        ({"slices": [-1, 3]}, "prepare.slices: first and last are counted from 0"),
        ({"times": [3]}, "prepare.times"),
        ({"codec": {"name": "gzip"}}, "prepare.codec: there is no codec 'gzip'. Found: there are zstd"),
        ({"codec": {"name": "zstd", "level": 99}}, "level of the codec zstd is out of range"),
        ({"codec": {"level": 3}}, "prepare.codec: codec wants a name"),
        ({"address": "tcp://127.0.0.1:8786"}, 'address is that of a cluster: set executor to "distributed" or "ray"'),
        ({"executor": "spark"}, "prepare.executor"),
        ({"workers": 0}, "prepare.workers"),
        ({"neighbours": {"by": "protein"}}, "prepare.neighbours.channel is missing"),
        ({"neighbours": {"by": "protein", "channel": "red", "count": 0}}, "prepare.neighbours.count"),
    ],
)
def test_what_contradicts_itself_is_told(prepare: dict[str, Any], told: str, tables: dict[str, Any]) -> None:
    assert told in refused(tables, prepare | {"patch": {"size": 8}})


def test_what_agrees_with_itself_is_accepted(tables: dict[str, Any]) -> None:
    objects = {"cut": "objects", "size": [4, 8, 8], "objects": "cell", "matched": ["nucleus"], "border": True}
    found = prepare_of(tables, {"patch": objects, "executor": "ray", "address": "10.0.0.1:6379", "times": [0, 0]})
    assert (found.patch.matched, found.patch.border, found.address) == (("nucleus",), True, "10.0.0.1:6379")
    assert prepare_of(tables, {"patch": {"cut": "whole", "dimensions": 3}}).patch.edges == ()
    assert prepare_of(tables, {"patch": {"size": 8}, "codec": {"name": "delta+zstd", "level": 3}}).codec["level"] == 3
