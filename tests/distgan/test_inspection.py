"""What is told of a store: true, complete, JSON, and of bounded length."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tifffile

from distgan.data import frames
from distgan.data.inspection import FEW, _columns, inspect_store
from distgan.monitoring.terminal import report
from distgan.plots import pictures
from storage.errors import DataError, MissingError, RecipeError
from storage.ingest import ingest
from storage.layout import Layout, from_pattern
from storage.manifest import committed
from storage.patches import PatchStore
from storage.store import ImageStore

RANDOM = np.random.default_rng(0)


def write_images(folder: Path, images: dict[str, Any]) -> Path:
    folder.mkdir()
    for name, pixels in images.items():
        tifffile.imwrite(folder / f"{name}.tif", pixels)
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """Images of three kinds: two with values that are no numbers, one black; two equal ones."""
    floats = RANDOM.normal(0, 1, (4, 30, 30)).astype(np.float32)
    floats[0] = np.nan
    floats[1, 0] = np.inf
    images = {f"float{index}": one for index, one in enumerate(floats)}
    images |= {"black": np.zeros((9, 9), np.uint8), "huge": np.full((9, 9), 1.7e308)}
    images |= {"again": floats[2]}
    folder = tmp_path_factory.mktemp("mixed")
    return ingest(write_images(folder / "source", images), folder / "store.zarr").store


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """Two plates of 4 x 6 wells: 48 arrays."""
    images = {
        f"plate{plate}_{row}{column:02d}": RANDOM.integers(0, 99, (32, 40), np.uint16)
        for plate in (1, 2)
        for row in "ABCD"
        for column in range(1, 7)
    }
    folder = tmp_path_factory.mktemp("screen")
    return ingest(
        write_images(folder / "source", images), folder / "store.zarr", from_pattern("{plate}_{well}.tif")
    ).store


def shown(monkeypatch: pytest.MonkeyPatch, store: Path, figure: Path) -> tuple[str, tuple[Any, ...]]:
    """Which picture is made of a store, and of what."""
    made: list[tuple[str, tuple[Any, ...]]] = []
    for name in ("sheet", "gallery", "plates"):
        draw = getattr(pictures, name)
        monkeypatch.setattr(
            pictures, name, lambda *given, name=name, draw=draw: made.append((name, given)) or draw(*given)
        )
    inspect_store(store, figure)
    assert figure.read_bytes().startswith(b"\x89PNG")
    (one,) = made
    return one


def plain_json(facts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(facts, allow_nan=False))
    assert found == facts
    return found


def row(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (found,) = [one for one in rows if wanted.items() <= one.items()]
    return found


# facts


def test_a_patch_store_tells_what_is_in_it(patch_store: PatchStore) -> None:
    facts = plain_json(inspect_store(patch_store.path, None))
    assert (facts["kind"], facts["samples"], facts["shape"]) == ("patch store", 72, [72, 1, 8, 8])
    assert facts["digest"] == patch_store.digest
    assert facts["recipe"]["cut"]["kind"] == "tiled"
    (array,) = facts["arrays"]
    on_disk = sum(path.stat().st_size for path in (patch_store.path / "images" / "c").rglob("*") if path.is_file())
    assert (array["array"], array["bytes"]) == ("images", on_disk)
    assert array["ratio"] == pytest.approx(72 * 64 / on_disk, abs=0.01)
    total = sum(path.stat().st_size for path in patch_store.path.rglob("*") if path.is_file())
    assert facts["bytes"] == total - (patch_store.path / "MANIFEST.json").stat().st_size
    assert row(facts["columns"], column="embryo")["counts"] == {"a": 24, "b": 24, "c": 24}


def test_statistics_are_those_of_the_pixels(patch_store: PatchStore) -> None:
    facts = inspect_store(patch_store.path, None)
    pixels = patch_store.read(np.arange(72))
    assert facts["looked_at"] == {"frames": 72, "of": 72, "whole": True}
    (found,) = facts["statistics"]
    assert (found["channel"], found["dtype"], found["frames"]) == (patch_store.channels[0], "uint8", 72)
    assert (found["min"], found["max"]) == (pixels.min(), pixels.max())
    assert found["mean"] == pytest.approx(pixels.mean(), rel=1e-5)
    assert (found["p1"], found["median"], found["p99"]) == pytest.approx(np.percentile(pixels, (1, 50, 99)), abs=1)
    assert found["at_max"] == pytest.approx((pixels == pixels.max()).mean(), rel=1e-5)
    assert all(isinstance(found[name], int) for name in ("min", "p1", "median", "p99", "max"))


def test_a_volume_is_told_of_by_its_voxels_not_by_its_projection(tmp_path: Path) -> None:
    volume = RANDOM.integers(0, 1000, (20, 16, 16), np.uint16)
    tifffile.imwrite(tmp_path / "volume.tif", volume, imagej=True, metadata={"axes": "ZYX"})
    ingest(tmp_path, tmp_path / "store", Layout(lambda file: {} if file.endswith(".tif") else None))
    (found,) = inspect_store(tmp_path / "store", None)["statistics"]
    assert (found["min"], found["mean"]) == (volume.min(), pytest.approx(volume.mean(), rel=1e-5))


def test_many_values_are_thinned_out_but_extremes_are_found(
    patch_store: PatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = inspect_store(patch_store.path, None)["statistics"][0]
    monkeypatch.setattr("distgan.data.inspection.VALUES", 500)
    thin = inspect_store(patch_store.path, None)["statistics"][0]
    assert thin["mean"] != whole["mean"]
    assert thin["mean"] == pytest.approx(whole["mean"], rel=0.1)
    for name in ("min", "max", "at_max"):
        assert thin[name] == whole[name]


def test_an_image_store_tells_its_kinds_and_what_is_odd(mixed: ImageStore) -> None:
    facts = plain_json(inspect_store(mixed.path, None))
    assert (facts["kind"], facts["files"], facts["images"]) == ("image store", 7, 7)
    assert facts["kinds"][0]["frames"] == 5
    assert {one["dtype"] for one in facts["kinds"]} == {"float32", "float64", "uint8"}
    assert list(facts["files_with"].values()) == [2, 2, 0, 1]
    floats = row(facts["statistics"], dtype="float32")
    assert floats["frames"] == 5
    assert -6 < floats["min"] < floats["median"] < floats["max"] < 6
    assert row(facts["statistics"], dtype="float64")["mean"] is None
    assert row(facts["statistics"], dtype="uint8")["max"] == 0


def test_a_channel_without_a_finite_value_has_no_statistics(tmp_path: Path) -> None:
    source = write_images(tmp_path / "source", {"nan": np.full((9, 9), np.nan, np.float32)})
    ingest(source, tmp_path / "store")
    facts = plain_json(inspect_store(tmp_path / "store", tmp_path / "figure.png"))
    assert facts["statistics"][0]["mean"] is None


def test_of_a_screen_plates_are_told_and_only_the_first_arrays(screen: ImageStore) -> None:
    facts = plain_json(inspect_store(screen.path, None))
    assert facts["plates"] == [{"plate": f"plate{n}", "wells": 24, "fields": 24} for n in (1, 2)]
    assert facts["array_count"] == 48
    assert [one["array"] for one in facts["arrays"][:2]] == ["plate1/A/01/0/0", "plate1/A/02/0/0"]
    assert len(facts["arrays"]) == FEW
    assert len(facts["kinds"]) == 1
    assert len(report(facts).splitlines()) < 60


def test_label_images_are_arrays_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    objects = np.zeros((32, 40), np.uint16)
    objects[3:9, 4:12], objects[20:30, 20:30] = 1, 2
    write_images(tmp_path / "source", {"a": RANDOM.integers(0, 99, (32, 40), np.uint16), "a_cells": objects})
    layout = Layout(lambda file: {"name": "a"} | ({"labels": "cells"} if "cells" in file else {}))
    store = ingest(tmp_path / "source", tmp_path / "store.zarr", layout).store
    facts = plain_json(inspect_store(store.path, None))
    assert facts["kinds"][0]["labels"] == ["cells"]
    for array in facts["arrays"]:
        chunks = store.path / array["array"] / "c"
        assert array["bytes"] == sum(path.stat().st_size for path in chunks.rglob("*") if path.is_file()) > 0
    assert [array["array"] for array in facts["arrays"]] == ["0/0", "0/labels/cells/0"]
    name, (_, _, labels, *_) = shown(monkeypatch, store.path, tmp_path / "a.png")
    assert (name, list(labels)) == ("sheet", ["cells"])
    assert np.array_equal(labels["cells"][0], objects)


def test_columns_are_counted_in_their_order_or_have_a_range() -> None:
    table = pa.table(
        {
            "well": [f"A{n % 12}" for n in range(100)],
            "time": [10 * n for n in range(100)],
            "dose": [None, float("nan"), *(n % 3 / 2 for n in range(98))],
            "compound": [f"c{n % 50}" for n in range(100)],
            "unset": pa.nulls(100, pa.string()),
            "treated": [n % 2 == 0 for n in range(100)],
            "size": [float("inf"), *(n / 7 for n in range(99))],
            "dhash": list(range(100)),
        }
    )
    found = {one["column"]: one for one in json.loads(json.dumps(_columns(table), allow_nan=False))}
    assert list(found["well"]["counts"]) == [f"A{n}" for n in range(12)]
    assert found["time"] == {"column": "time", "distinct": 100, "missing": 0, "range": [0, 990], "counts": {}}
    assert (found["dose"]["missing"], found["dose"]["counts"]) == (2, {"0.0": 33, "0.5": 33, "1.0": 32})
    assert (found["compound"]["distinct"], found["compound"]["counts"], found["compound"]["range"]) == (50, {}, [])
    assert (found["unset"]["distinct"], found["unset"]["missing"]) == (0, 100)
    assert found["treated"]["counts"] == {"False": 50, "True": 50}
    assert found["size"]["range"] == [0, None]
    assert "dhash" not in found


# pictures


def test_frames_of_one_kind_are_a_sheet(
    patch_store: PatchStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name, (images, _, labels, values, title, *_) = shown(monkeypatch, patch_store.path, tmp_path / "a.png")
    assert (name, images.shape, labels) == ("sheet", (24, 1, 8, 8), {})
    assert sum(found.size for found in values.values()) == 72 * 64
    assert title == "patches.zarr: 24 of 72 frames"


def test_frames_of_many_kinds_are_a_gallery(mixed: ImageStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name, (images, title) = shown(monkeypatch, mixed.path, tmp_path / "a.png")
    assert (name, title) == ("gallery", "store.zarr: 7 of 7 frames")
    captions = [caption for caption, *_ in images]
    assert "black.tif\nuint8 1 x 1 x 9 x 9" in captions
    assert {caption.splitlines()[0] for caption in captions} == set(mixed.images.column("file").to_pylist())


def test_a_screen_is_a_map_of_its_plates(screen: ImageStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(frames, "WELLS", 30)
    name, (images, wells, _, title) = shown(monkeypatch, screen.path, tmp_path / "a.png")
    assert (name, title) == ("plates", "store.zarr: 24 of 48 wells")
    assert set(images) == wells == {("plate1", row, column) for row in "ABCD" for column in range(1, 7)}


def test_the_title_says_what_is_left_out(screen: ImageStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(frames, "BUDGET_BYTES", 48 * 800)
    name, (images, *_, title) = shown(monkeypatch, screen.path, tmp_path / "a.png")
    assert (name, title) == ("plates", "store.zarr: 48 of 48 wells, the middle of each")
    assert {image.shape for image in images.values()} == {(1, 20, 20)}
    assert inspect_store(screen.path, None)["looked_at"]["whole"] is False


# mistakes


def test_what_is_no_store_is_refused(tmp_path: Path, patch_store: PatchStore) -> None:
    with pytest.raises(MissingError):
        inspect_store(tmp_path / "nowhere", None)
    with committed(tmp_path / "model", "model", {}) as folder:
        (folder / "weights").write_text("")
    with pytest.raises(DataError, match="a model"):
        inspect_store(tmp_path / "model", None)
    with pytest.raises(RecipeError, match="npy"):
        inspect_store(patch_store.path, tmp_path / "picture.npy")
