"""What `ingest` does with a command line: the layout it means, and what is told of the result."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from distgan.data.ingestion import layout_of, run_ingest
from storage.errors import RecipeError
from storage.layout import Layout
from storage.patches import PatchStore
from storage.store import ImageStore

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 12, 10), np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two wells of two channels, and a table about them."""
    folder = tmp_path / "source"
    folder.mkdir()
    for index, name in enumerate(("A1_red", "A1_blue", "B2_red", "B2_blue")):
        tifffile.imwrite(folder / f"{name}.tif", PIXELS[index])
    (tmp_path / "wells.csv").write_text("well,dose\nA1,0.5\n")
    return folder


def test_names_and_a_table_make_metadata_and_channels(source: Path, tmp_path: Path) -> None:
    layout = layout_of(source, "", "{well}_{channel}.tif", tmp_path / "wells.csv", ("red", "blue"))
    told = run_ingest(source, tmp_path / "store", layout, 1)
    assert [one["file"] for one in told["ingested"]] == ["A1_red.tif", "A1_blue.tif", "B2_red.tif", "B2_blue.tif"]
    store = ImageStore.open(tmp_path / "store")
    assert store.series[0].channels == ("red", "blue")
    assert [(row["well"], row["dose"]) for row in store.images.to_pylist()] == [("A1", 0.5), ("B2", None)]


def test_a_data_set_brings_its_own_layout(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, "rosettes", "", None, ())
    assert layout.describe("no_such_name.txt") != {}
    renamed = layout_of(tmp_path, "rosettes", "", None, ("membranes",))
    assert renamed.channels == ("membranes",)
    assert renamed.samples == layout.samples


def test_nothing_said_is_nothing_assumed(source: Path) -> None:
    assert layout_of(source, "", "", None, ()) == Layout()


def test_what_contradicts_itself_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--pattern"):
        layout_of(source, "rosettes", "{well}.tif", None, ())
    with pytest.raises(RecipeError, match="--table"):
        layout_of(source, "rosettes", "", tmp_path / "wells.csv", ())
    with pytest.raises(RecipeError, match="without --pattern"):
        layout_of(source, "", "", tmp_path / "wells.csv", ())


@pytest.mark.parametrize("kind", ["npy", "npz", "zarr"])
def test_sample_arrays_become_a_patch_store(kind: str, tmp_path: Path) -> None:
    source = tmp_path / f"samples.{kind}"
    if kind == "npy":
        np.save(source, PIXELS)
    elif kind == "npz":
        np.savez(source, images=PIXELS)
    else:
        zarr.create_array(source, data=PIXELS)
    told = run_ingest(source, tmp_path / "store", Layout(), 1)
    (row,) = told["ingested"]
    assert row == {"file": source.name, "shape": [6, 12, 10], "dtype": "uint8", "min": 0, "max": 255}
    assert told["quarantined"] == []
    assert PatchStore.open(tmp_path / "store").shape == (6, 1, 12, 10)


def test_numbers_are_those_of_the_dtype_and_odd_files_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    tifffile.imwrite(folder / "float.tif", np.asarray([[0.5, np.nan], [2, np.inf]], np.float32))
    tifffile.imwrite(folder / "large.tif", np.asarray([[2**40, 3]], np.int64))
    tifffile.imwrite(folder / "nan.tif", np.full((2, 2), np.nan, np.float32))
    tifffile.imwrite(folder / "twice.tif", np.asarray([[2**40, 3]], np.int64))
    (folder / "broken.tif").write_bytes(b"II*\0")
    (folder / "notes.txt").write_text("no image")
    told = run_ingest(folder, tmp_path / "store", Layout(), 1)
    rows = {one["file"]: one for one in told["ingested"]}
    assert (rows["float.tif"]["min"], rows["float.tif"]["max"], rows["float.tif"]["nan"]) == (0.5, 2.0, 2)
    assert (rows["large.tif"]["min"], rows["large.tif"]["max"]) == (3, 2**40)
    assert isinstance(rows["large.tif"]["max"], int)
    assert (rows["nan.tif"]["min"], rows["nan.tif"]["max"]) == (None, None)
    assert rows["twice.tif"]["duplicate_of"] == "large.tif"
    (left_out,) = told["quarantined"]
    assert left_out["file"] == "broken.tif"
    lines = capsys.readouterr().err.splitlines()
    assert "2 of the files have values that are not finite" in lines
    assert "1 of the files are duplicates of earlier ones" in lines
    assert "1 left out:" in lines
    assert "1 file(s) *.txt are no images and were passed over" in lines


def test_files_that_do_not_match_are_counted(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = layout_of(source, "", "{well}_red.tif", tmp_path / "wells.csv", ())
    assert len(run_ingest(source, tmp_path / "store", layout, 1)["ingested"]) == 2
    told = capsys.readouterr().err
    assert "2 image file(s) do not match and were passed over" in told
    assert "1 file(s) have no row in the table" in told
