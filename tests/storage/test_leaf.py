"""What one task of `prepare` does: patches around objects, sums of a group, and shards of one kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from storage import leaf
from storage.cuts import Cut, Places
from storage.errors import DataError, DiskError, RecipeError
from storage.ingest import ingest
from storage.layout import Described, Layout
from storage.leaf import Job, Unit
from storage.patches import PatchArrays, PatchStore
from storage.pipeline import Pipeline
from storage.preprocess import Preparation, prepare
from storage.source import open_source
from storage.store import open_array

RANDOM = np.random.default_rng(0)
SIZE = (3, 24, 30)
CELL = np.zeros(SIZE, np.uint16)
CELL[0:3, 8:15, 10:18] = 7
CELL[1, 0:3, 0:4] = 3
CELL[2, 20:23, 26:29] = 300
NUCLEUS = np.where(np.indices(SIZE)[1] > 10, CELL, 0).astype(np.uint16)
"""Its objects have the numbers of their cells."""
GRADE = RANDOM.integers(0, 5, SIZE, np.uint8)
"""Labels that are no objects."""
LABELS = {"cell": CELL, "nucleus": NUCLEUS, "grade": GRADE}
IMAGES = RANDOM.integers(1, 1 << 12, (2, 2, *SIZE), np.uint16)
"""Image, C Z Y X; both have the same label images."""


def describe(file: str) -> Described:
    image, kind = file.removesuffix(".tif").split("_")
    return {"image": image} | ({"labels": kind} if kind in LABELS else {})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of IMAGES and LABELS."""
    folder = tmp_path_factory.mktemp("cells")
    (folder / "raw").mkdir()
    for number, image in enumerate(IMAGES):
        tifffile.imwrite(folder / "raw" / f"{number}_image.tif", image, ome=True, metadata={"axes": "CZYX"})
        for name, labels in LABELS.items():
            tifffile.imwrite(folder / "raw" / f"{number}_{name}.tif", labels, ome=True, metadata={"axes": "ZYX"})
    return ingest(folder / "raw", folder / "store", Layout(describe)).store.path


def window(values: NDArray[Any], row: Mapping[str, Any], size: tuple[int, int, int]) -> NDArray[Any]:
    """The box of ... Z Y X that begins where the row says, zeros outside."""
    margin = max(size)
    whole = np.pad(values, [(0, 0)] * (values.ndim - 3) + [(margin, margin)] * 3)
    z, y, x = (slice(row[axis] + margin, row[axis] + margin + edge) for axis, edge in zip("zyx", size, strict=True))
    return whole[..., z, y, x]


def by_object(store: PatchStore) -> dict[tuple[str, int], dict[str, Any]]:
    """Image and object -> its row, and its values under `patch` and the names of its label images."""
    count = store.shape[0]
    values = {"patch": store.read_rows(0, count)} | {name: store.read_rows(0, count, name) for name in store.labels}
    return {
        (row["image"], row["object"]): row | {name: of_all[index] for name, of_all in values.items()}
        for index, row in enumerate(store.obs.to_pylist())
    }


# around objects


@pytest.mark.parametrize("size", [(9, 10), (3, 9, 10), (5, 60, 70)])
def test_patches_around_objects_and_their_own_labels(size: tuple[int, ...], source: Path, tmp_path: Path) -> None:
    cut = Cut("objects", size, 2 if len(size) == 2 else 3, objects="cell", matched=("nucleus",), border=True)
    found = by_object(prepare(source, tmp_path / "patches", Preparation(cut)))
    assert set(found) == {(image, number) for image in "01" for number in (7, 3, 300)}
    edges = (1, *size)[-3:]
    for (image, number), row in found.items():
        wanted = {"patch": IMAGES[int(image)], "cell": number == CELL, "nucleus": number == NUCLEUS, "grade": GRADE}
        for name, values in wanted.items():
            box = window(values, row, edges)
            assert np.array_equal(row[name], box if len(size) == 3 else box[..., 0, :, :]), name
        assert row["cell"].dtype == row["nucleus"].dtype == np.uint8
        assert row["voxels"] == (number == CELL).sum()
        middle = [(where.min() + where.max() + 1) // 2 for where in np.nonzero(number == CELL)]
        corner = [at - edge // 2 for at, edge in zip(middle, edges, strict=True)]
        assert [row["z"], row["y"], row["x"]] == corner


def test_objects_at_the_border_are_dropped_unless_wanted(source: Path, tmp_path: Path) -> None:
    found = by_object(prepare(source, tmp_path / "patches", Preparation(Cut("objects", (9, 10), objects="cell"))))
    assert set(found) == {(image, number) for image in "01" for number in (7, 300)}
    assert set(np.unique(found["0", 7]["nucleus"]).tolist()) == {0, 7}, "what is not matched keeps its numbers"


def test_objects_are_found_where_operations_made_them(source: Path, tmp_path: Path) -> None:
    chain = ({"name": "binary", "names": ["cell"]}, {"name": "drop_labels", "names": ["grade", "nucleus"]})
    store = prepare(
        source, tmp_path / "patches", Preparation(Cut("objects", (9, 10), objects="cell", border=True), chain)
    )
    assert store.labels == ("cell",)
    assert store.obs.column("voxels").to_pylist() == 2 * [int((CELL > 0).sum())]


def test_a_label_image_that_is_not_there_is_told(source: Path, tmp_path: Path) -> None:
    how = Preparation(Cut("objects", (9, 10), objects="cells"))
    with pytest.raises(RecipeError, match=r"no label image 'cells'.*there are cell, grade, nucleus"):
        prepare(source, tmp_path / "patches", how)
    how = Preparation(Cut("objects", (9, 10), objects="cell", matched=("nucleus", "nuclei")))
    with pytest.raises(RecipeError, match=r"no label image 'nuclei'.*there are cell, grade, nucleus"):
        prepare(source, tmp_path / "patches", how)
    assert list(tmp_path.iterdir()) == []


# units of frames


def test_units_are_frames_of_one_array_read_together() -> None:
    series, frame, image = (np.array(values) for values in ([0, 0, 0, 0, 1, 1], [0, 1, 4, 5, 0, 5], [9, 9, 8, 8, 7, 6]))
    assert leaf.units(series, frame, image, 4) == [
        Unit(0, (0, 1), (9, 9)),
        Unit(0, (4, 5), (8, 8)),
        Unit(1, (0,), (7,)),
        Unit(1, (5,), (6,)),
    ]


def job(source: Path, cut: Cut, chain: tuple[dict[str, Any], ...] = ()) -> Job:
    return Job(open_source(source)[0], Pipeline.of(chain), Pipeline.of(()), cut, {})


def test_sums_are_those_of_the_planes_of_each_group(source: Path) -> None:
    bright = {"name": "display_range", "low": 0, "high": 1000}
    chain = (bright, {"name": "illumination"})
    batch = [Unit(0, (0, 1), (0, 1)), Unit(0, (0,), (0,))]
    for group in (np.array([0, 1]), np.array([0, 0])):
        sums = leaf.sums(job(source, Cut("whole", ()), chain), 1, group, batch)
        white = np.clip(np.round(IMAGES.astype(float) * 0.255), 0, 255).sum(axis=2)
        both = {0: (2 * white[0], 6), 1: (white[1], 3)} if group[1] else {0: (2 * white[0] + white[1], 9)}
        assert sums.keys() == both.keys()
        for name, (value, planes) in both.items():
            assert np.abs(sums[name][0] - value).max() <= 1
            assert sums[name][1] == planes


# shards


def places(*corners: tuple[int, int, int]) -> Places:
    """Of image 0: z, y, x."""
    z, y, x = (np.array(axis) for axis in zip(*corners, strict=True))
    zero = np.zeros(len(z), np.int64)
    return Places(zero, zero, zero, z, y, x, zero - 1)


def test_a_shard_is_written_and_hashed(source: Path, tmp_path: Path) -> None:
    arrays = PatchArrays((3, 2, 4, 5), "uint16", {"cell": "uint16"}, {"name": "zstd"})
    arrays.create(tmp_path)
    plan = places((2, 20, 25), (0, -1, -2), (1, 7, 9))
    written = leaf.write_shard(job(source, Cut("tiled", (4, 5))), arrays, tmp_path, (0, plan))
    rows = [dict(zip("zyx", corner, strict=True)) for corner in ((2, 20, 25), (0, -1, -2), (1, 7, 9))]
    images = np.stack([window(IMAGES[0], row, (1, 4, 5))[:, 0] for row in rows])
    assert np.array_equal(open_array(tmp_path / "images")[:], images)
    assert np.array_equal(
        open_array(tmp_path / "labels" / "cell")[:], np.stack([window(CELL, row, (1, 4, 5))[0] for row in rows])
    )
    assert written.objects == ["images/c/0/0/0/0", "labels/cell/c/0/0/0"]
    assert all((tmp_path / one).is_file() for one in written.objects)
    assert (written.low, written.high) == (0, images.max())
    assert len(set(written.pixels)) == len(set(written.dhash)) == 3


@pytest.mark.parametrize(
    ("dtype", "shape"), [("uint8", (1, 2, 4, 5)), ("uint16", (1, 2, 4, 6)), ("uint16", (1, 1, 4, 5))]
)
def test_samples_of_another_kind_than_the_first_are_refused(
    dtype: str, shape: tuple[int, ...], source: Path, tmp_path: Path
) -> None:
    arrays = PatchArrays(shape, dtype, {}, {"name": "zstd"})
    arrays.create(tmp_path)
    with pytest.raises(DataError, match=r"not all of one kind.*uint16 \(2, 4, 5\), and the first was"):
        leaf.write_shard(job(source, Cut("tiled", (4, 5))), arrays, tmp_path, (0, places((0, 0, 0))))


def test_a_full_disk_is_told_in_whichever_process(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = PatchArrays((1, 2, 4, 5), "uint16", {}, {"name": "zstd"})
    arrays.create(tmp_path)

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("storage.patches.write_shard", full)
    with pytest.raises(DiskError, match="No space left"):
        leaf.write_shard(job(source, Cut("tiled", (4, 5))), arrays, tmp_path, (0, places((0, 0, 0))))
