"""Look-alikes: for each sample the nearest of every class by one channel, checked against all distances."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from storage import mining
from storage.cuts import Cut
from storage.errors import RecipeError
from storage.ingest import ingest
from storage.layout import Described, Layout
from storage.manifest import check_digests
from storage.mining import Neighbours
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare
from storage.store import open_array

CLASSES = ("Alp14", "Bgs4", "Cki2")


def describe(file: str) -> Described:
    """`Alp14_3_test.tif`."""
    protein, number, split = file.removesuffix(".tif").split("_")
    return {"protein": protein, "number": int(number), "split": split}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 33 images of two channels, red and green; two of the red ones are alike."""
    folder = tmp_path_factory.mktemp("proteins")
    (folder / "raw").mkdir()
    images = np.random.default_rng(0).integers(0, 1 << 16, (33, 2, 8, 9), np.uint16)
    images[20, 0] = images[3, 0]
    for number, image in enumerate(images):
        name = f"{CLASSES[number % 3]}_{number}_{'test' if number % 5 == 0 else 'train'}.tif"
        tifffile.imwrite(folder / "raw" / name, image, ome=True, metadata={"axes": "CYX"})
    return ingest(folder / "raw", folder / "store", Layout(describe, channels=("red", "green"))).store.path


def mined(source: Path, target: Path, how: Neighbours) -> tuple[PatchStore, np.ndarray]:
    """The store, and its neighbours."""
    store = prepare(source, target, Preparation(Cut("whole", ()), neighbours=how))
    return store, open_array(store.path / "neighbours")[:]


def nearest_of_all(store: PatchStore, channel: int, count: int, allowed: np.ndarray) -> np.ndarray:
    """N x classes x count, by every distance there is; equal ones go by row."""
    values = store.read_rows(0, store.shape[0])[:, channel].reshape(store.shape[0], -1).astype(object)
    proteins = np.array(store.obs.column("protein").to_pylist())
    found = []
    for one in values:
        distance = ((values - one) ** 2).sum(axis=1)
        order = sorted(range(len(values)), key=lambda row: (distance[row], row))
        found.append([[row for row in order if proteins[row] == name and allowed[row]][:count] for name in CLASSES])
    return np.array(found)


@pytest.mark.parametrize("block_bytes", [1, 1000, mining.BLOCK_BYTES])
@pytest.mark.parametrize(("channel", "count"), [("red", 3), ("green", 1)])
def test_the_nearest_of_every_class_are_found(
    block_bytes: int, channel: str, count: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr("storage.patches.CHUNK_BYTES", 7 * 2 * 8 * 9 * 2)
    store, found = mined(source, tmp_path / "patches", Neighbours(channel, "protein", count))
    wanted = nearest_of_all(store, ["red", "green"].index(channel), count, np.ones(33, dtype=bool))
    assert np.array_equal(found, wanted)
    assert store.manifest.facts["neighbours"] == {
        "by": "protein",
        "channel": channel,
        "classes": list(CLASSES),
        "count": count,
    }
    check_digests(store.path, store.manifest)


def test_a_sample_is_its_own_nearest_and_its_twin_comes_next(source: Path, tmp_path: Path) -> None:
    store, found = mined(source, tmp_path / "patches", Neighbours("red", "protein", 2))
    numbers = store.obs.column("number").to_pylist()
    one, other = numbers.index(3), numbers.index(20)
    assert found[one, 0, 0] == one
    assert found[one, 2, 0] == other
    assert found[other, 0, 0] == one


def test_only_samples_of_the_subset_are_found_but_for_all(source: Path, tmp_path: Path) -> None:
    subset: Mapping[str, Sequence[Any]] = {"split": ["train"]}
    store, found = mined(source, tmp_path / "patches", Neighbours("red", "protein", 4, subset))
    trains = np.array(store.obs.column("split").to_pylist()) == "train"
    assert found.shape == (33, 3, 4)
    assert trains[found].all()
    assert np.array_equal(found, nearest_of_all(store, 0, 4, trains))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (Neighbours("blue", "protein"), r"no channel 'blue'.*red, green"),
        (Neighbours("red", "gene"), r"no metadata column 'gene'.*protein"),
        (Neighbours("red", "protein", 12), r"protein Alp14 has too few.*11, and 12 are wanted"),
        (Neighbours("red", "protein", 2, {"number": [3, 6, 4]}), r"protein Bgs4 has too few.*1, and 2"),
        (Neighbours("red", "protein", 1, {"split": ["held out"]}), r"split in \['held out'\].*test, train"),
    ],
)
def test_what_cannot_be_found_is_told_and_nothing_is_left(
    how: Neighbours, told: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.leaf.write_shard", lambda *given: pytest.fail("it is told before anything is written"))
    with pytest.raises(RecipeError, match=told):
        mined(source, tmp_path / "patches", how)
    assert list(tmp_path.iterdir()) == []


def test_volumes_have_neighbours_too(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(6):
        image = np.random.default_rng(number).integers(0, 256, (3, 4, 5), np.uint8)
        path = tmp_path / "raw" / f"{CLASSES[number % 3]}_{number}_train.tif"
        tifffile.imwrite(path, image, ome=True, metadata={"axes": "ZYX"})
    source = ingest(tmp_path / "raw", tmp_path / "store", Layout(describe)).store.path
    how = Preparation(Cut("whole", (), dimensions=3), neighbours=Neighbours("channel0", "protein", 2))
    store = prepare(source, tmp_path / "patches", how)
    found = open_array(store.path / "neighbours")[:]
    assert np.array_equal(found, nearest_of_all(store, 0, 2, np.ones(6, dtype=bool)))
