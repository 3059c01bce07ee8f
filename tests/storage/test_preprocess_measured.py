"""Preparation that needs to see images before it cuts: uneven light, tables of boxes, and its progress."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from storage import preprocess
from storage.cuts import Cut
from storage.errors import RecipeError
from storage.ingest import ingest
from storage.layout import Described, Layout
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare

RANDOM = np.random.default_rng(0)
SIZE = (32, 48)
LIGHT = {
    "dim": 0.4 + np.linspace(0, 1.2, 48)[None, :] * np.ones((32, 1)),
    "bright": 0.4 + np.linspace(1.2, 0, 32)[:, None] * np.ones((1, 48)),
}
"""Plate -> how much light reaches each pixel, Y X."""
FLAT = {"name": "illumination", "by": "plate", "smoothing_px": 2}


def plate_of(file: str) -> Described:
    return {"plate": file.split("_")[0]}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 20 images of two plates, each 1000 everywhere but for its light and a little noise."""
    folder = tmp_path_factory.mktemp("plates")
    (folder / "raw").mkdir()
    for number in range(20):
        plate = ("dim", "bright")[number % 2]
        image = np.round(1000 * LIGHT[plate] + RANDOM.normal(0, 5, SIZE)).astype(np.uint16)
        tifffile.imwrite(folder / "raw" / f"{plate}_{number}.tif", image)
    return ingest(folder / "raw", folder / "store", Layout(plate_of)).store.path


def whole(store: PatchStore) -> dict[str, np.ndarray]:
    """Plate -> its images, N Y X."""
    plate = np.array(store.obs.column("plate").to_pylist())
    images = store.read_rows(0, store.shape[0])[:, 0].astype(float)
    return {name: images[plate == name] for name in LIGHT}


def unevenness(images: np.ndarray) -> float:
    """How much the mean image varies, relative to its mean."""
    mean = images.mean(axis=0)[2:-2, 2:-2]
    return float((mean.max() - mean.min()) / mean.mean())


def test_light_that_differs_by_plate_is_made_even_by_plate(plates: Path, tmp_path: Path) -> None:
    raw = whole(prepare(plates, tmp_path / "raw", Preparation(Cut("whole", ()))))
    even = whole(prepare(plates, tmp_path / "even", Preparation(Cut("whole", ()), (FLAT,))))
    mixed = whole(prepare(plates, tmp_path / "mixed", Preparation(Cut("whole", ()), (FLAT | {"by": ""},))))
    for plate in LIGHT:
        assert unevenness(raw[plate]) > 1
        assert unevenness(mixed[plate]) > 0.4, "one field cannot be right for both"
        assert unevenness(even[plate]) < 0.1
        assert abs(even[plate].mean() - 1000) < 30


def test_only_what_is_chosen_is_measured(plates: Path, tmp_path: Path) -> None:
    alone = Preparation(Cut("whole", ()), (FLAT | {"by": ""},), subset={"plate": ["dim"]})
    both = Preparation(Cut("whole", ()), (FLAT,))
    dim = {row["file"]: image for row, image in rows(prepare(plates, tmp_path / "alone", alone))}
    for row, image in rows(prepare(plates, tmp_path / "both", both)):
        assert row["plate"] != "dim" or np.array_equal(image, dim[row["file"]])
    assert len(dim) == 10


def rows(store: PatchStore) -> list[tuple[dict[str, Any], np.ndarray]]:
    return list(zip(store.obs.to_pylist(), store.read_rows(0, store.shape[0]), strict=True))


def test_sums_in_any_parts_are_one_sum(plates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = Preparation(Cut("whole", ()), ({"name": "median", "size_zyx": [1, 3, 3]}, FLAT))
    digests = set()
    for parts, frames in ((1, 8), (3, 2), (100, 1)):
        monkeypatch.setattr(preprocess, "SUMS", parts)
        monkeypatch.setattr(preprocess, "FRAMES_PER_TASK", frames)
        digests.add(prepare(plates, tmp_path / f"{parts}", how).digest)
    assert len(digests) == 1


def test_a_group_that_is_no_column_is_told(plates: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no metadata column 'date'"):
        prepare(plates, tmp_path / "patches", Preparation(Cut("whole", ()), (FLAT | {"by": "date"},)))
    with pytest.raises(RecipeError, match="applied to whole images"):
        prepare(plates, tmp_path / "patches", Preparation(Cut("whole", ()), after=(FLAT,)))
    assert list(tmp_path.iterdir()) == []


# progress


@pytest.mark.parametrize(
    ("chain", "objects"), [((), False), ((FLAT,), False), ((FLAT, FLAT | {"by": ""}), False), ((FLAT,), True)]
)
def test_progress_rises_to_its_end(
    chain: tuple[Mapping[str, Any], ...], objects: bool, plates: Path, tmp_path: Path
) -> None:
    steps: list[tuple[int, int]] = []
    cut = Cut("tiled", (8, 8))
    if objects:
        chain = (*chain, {"name": "segment_nuclei", "channel": "channel0", "min_area_px": 1})
        cut = Cut("objects", (8, 8), objects="nucleus", border=True)
    store = prepare(plates, tmp_path / "patches", Preparation(cut, chain), progress=lambda *step: steps.append(step))
    assert store.shape[0] > 0
    shares = [done / total for done, total in steps]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] == 1


# the rosettes of Wang et al.: a box for each embryo of a frame, times, slices, a median of 2 2 2, a display range

FRAMES, PLANES, EDGE = 8, 7, 96
BOXES = {("20170711", 1): [(3, 5, 60, 50), (60, 40, 20, 30)], ("20170711", 2): [], ("20170712", 1): [(10, 20, 70, 70)]}
"""Date and position -> x, y, width, height."""


def test_wangs_embryos(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    stacks = {key: RANDOM.integers(2000, 5000, (FRAMES, PLANES, EDGE, EDGE), np.uint16) for key in BOXES}
    for (date, position), stack in stacks.items():
        path = tmp_path / "raw" / f"{date}_{position}.tif"
        tifffile.imwrite(path, stack, ome=True, metadata={"axes": "TZYX"})
    table = ["date,position,embryo,x,y,width,height"]
    for (date, position), boxes in BOXES.items():
        table += [
            f"{date},{position},{date}_s{position}_emb{n},{','.join(map(str, box))}" for n, box in enumerate(boxes)
        ]
    (tmp_path / "boxes.csv").write_text("\n".join(table))
    described = Layout(lambda file: {"date": file[:8], "position": int(file[9])})
    source = ingest(tmp_path / "raw", tmp_path / "store", described).store.path
    how = Preparation(
        Cut("boxes", (40, 40), boxes=str(tmp_path / "boxes.csv")),
        ({"name": "median", "size_zyx": [2, 2, 2]}, {"name": "display_range", "low": 2500, "high": 4200}),
        times=(3, 6),
        slices=(2, 4),
    )
    store = prepare(source, tmp_path / "patches", how)
    assert (store.shape, store.dtype, store.value_range) == ((3 * 4 * 3, 1, 40, 40), "uint8", (0, 255))
    smooth = {key: np.stack([ndimage.median_filter(one, (2, 2, 2)) for one in stack]) for key, stack in stacks.items()}
    seen = set()
    for row, patch in rows(store):
        key = (row["date"], row["position"])
        box = BOXES[key][int(row["embryo"][-1])]
        assert (row["box_x"], row["box_y"], row["box_width"], row["box_height"]) == box
        x, y, z, t = row["x"], row["y"], row["z"], row["frame"]
        if box[2] >= 40:
            assert box[0] <= x <= box[0] + box[2] - 40
            assert box[1] <= y <= box[1] + box[3] - 40
        else:
            assert (x, y) == (60 + (20 - 40) // 2, 40 + (30 - 40) // 2)
        plane = smooth[key][t, z, y : y + 40, x : x + 40].astype(float)
        assert np.abs(patch[0] - np.clip((plane - 2500) * 255 / 1700, 0, 255)).max() < 0.5001
        seen.add((row["embryo"], t, z))
    embryos = ("20170711_s1_emb0", "20170711_s1_emb1", "20170712_s1_emb0")
    assert seen == {(embryo, t, z) for embryo in embryos for t in range(3, 7) for z in range(2, 5)}
