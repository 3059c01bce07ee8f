"""Screens: plates, wells and fields as OME-Zarr has them, whatever the wells are called."""

from pathlib import Path

import numpy as np
import ome_zarr_models.v05 as ome_zarr
import pytest
import tifffile
import zarr

from storage.ingest import ingest
from storage.layout import Layout, from_pattern
from storage.store import ImageStore

RANDOM = np.random.default_rng(0)
PLANES = {
    (plate, well, field, channel): RANDOM.integers(0, 256, (8, 9), np.uint8)
    for plate, well in (("P1", "B02"), ("P1", "B10"), ("P1", "AA3"), ("week 2", "b2"))
    for field in ("9", "10")
    for channel in ("DNA", "actin")
}


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("screen") / "source"
    for (plate, well, field, channel), pixels in PLANES.items():
        (folder / plate).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / plate / f"{well}_{field}_{channel}.tif", pixels)
    layout = from_pattern("{plate}/{well}_{field}_{channel}.tif")
    done = ingest(folder, folder.with_name("store"), layout)
    assert done.quarantined == ()
    return done.store


def test_every_field_of_every_well_is_an_image_at_its_place(screen: ImageStore) -> None:
    places = {"B02": "P1/B/02", "B10": "P1/B/10", "AA3": "P1/AA/03", "b2": "week-2/B/02"}
    assert {one.name for one in screen.series} == {f"{place}/{n}" for place in places.values() for n in range(2)}
    for row in screen.images.to_pylist():
        series = next(one for one in screen.series if one.name == row["series"])
        assert row["series"] == f"{places[row['well']]}/{[9, 10].index(row['field'])}"
        assert series.channels == ("DNA", "actin")
        pixels = [PLANES[row["plate"], row["well"], str(row["field"]), channel] for channel in series.channels]
        assert np.array_equal(screen.array(series)[0, :, 0], pixels)


def test_any_reader_of_ome_zarr_finds_plates_wells_and_fields(screen: ImageStore) -> None:
    root = zarr.open_group(screen.path, mode="r")
    assert ome_zarr.BioFormats2Raw.from_zarr(root)
    assert root["OME"].attrs["ome"]["series"][0] == "P1/AA/03/0"
    plate = ome_zarr.HCS.from_zarr(root["P1"]).ome_attributes.plate
    assert [row.name for row in plate.rows] == ["B", "AA"]
    assert [column.name for column in plate.columns] == ["02", "03", "10"]
    assert {(well.path, well.rowIndex, well.columnIndex) for well in plate.wells} == {
        ("B/02", 0, 0),
        ("B/10", 0, 2),
        ("AA/03", 1, 1),
    }
    assert plate.field_count == 2
    assert (plate.name, plate.version) == ("P1", "0.5")
    for well in plate.wells:
        found = ome_zarr.Well.from_zarr(root[f"P1/{well.path}"])
        assert [image.path for image in found.ome_attributes.well.images] == ["0", "1"]
        assert ome_zarr.Image.from_zarr(root[f"P1/{well.path}/1"])
    assert ome_zarr.HCS.from_zarr(root["week-2"]).n_wells == 1
    channels = root["P1/B/02/0"].attrs["ome"]["omero"]["channels"]
    assert [(one["label"], one["color"]) for one in channels] == [("DNA", "0000FF"), ("actin", "FF0000")]


def ingested(tmp_path: Path, *images: dict[str, str | int]) -> list[str]:
    """Names of the arrays that images with such metadata come to lie in."""
    (tmp_path / "source").mkdir()
    for number in range(len(images)):
        tifffile.imwrite(tmp_path / "source" / f"{number}.tif", np.full((8, 9), number, np.uint8))
    store = ingest(tmp_path / "source", tmp_path / "store", Layout(lambda file: images[int(file[0])])).store
    root = zarr.open_group(store.path, mode="r")
    for one in store.series:
        assert ome_zarr.Image.from_zarr(root[one.name])
        if "/" in one.name:
            assert ome_zarr.HCS.from_zarr(root[one.name.split("/")[0]])
    return store.images.column("series").to_pylist()


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        ({"well": "B02"}, "B/02"),
        ({"well": "b2"}, "B/02"),
        ({"well": "Well-B002"}, "B/02"),
        ({"well": "B-12"}, "B/12"),
        ({"well": "AF48"}, "AF/48"),
        ({"row": "C", "column": 4}, "C/04"),
        ({"row": 3, "column": "04"}, "C/04"),
    ],
)
def test_wells_are_called_many_things(metadata: dict[str, str | int], place: str, tmp_path: Path) -> None:
    assert ingested(tmp_path, {"plate": "P", **metadata}) == [f"P/{place}/0"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"plate": "P"},
        {"well": "B02"},
        {"plate": "P", "well": "edge"},
        {"plate": "P", "well": "B0"},
        {"plate": 1, "row": 30, "column": 1},
    ],
)
def test_what_has_no_place_on_a_plate_stays_a_plain_image(metadata: dict[str, str | int], tmp_path: Path) -> None:
    assert ingested(tmp_path, metadata) == ["0"]


def test_images_of_one_well_never_share_a_place(tmp_path: Path) -> None:
    """Their fields are numbered by value, and those of one field by file."""
    wells = [{"plate": 7, "well": "B2", "site": "s10"}, {"plate": 7, "well": "B02", "site": "s9"}]
    wells += [{"plate": 7, "well": "B02", "site": "s9"}, {"plate": 7, "well": "B02"}]
    assert ingested(tmp_path, *wells) == ["7/B/02/3", "7/B/02/1", "7/B/02/2", "7/B/02/0"]


def test_plates_never_share_a_folder_nor_take_that_of_another_thing(tmp_path: Path) -> None:
    plates = ["a/1", "a 1", "OME", "0", "..", "a-1"]
    images = [{"plate": plate, "well": "A1"} for plate in plates]
    found = ingested(tmp_path, *images, {"n": 1})
    assert len({name.split("/")[0] for name in found}) == 7
    assert found[-1] == "0"
    assert not {"OME", ".."} & {name.split("/")[0] for name in found}
