"""The public layout of BBBC021, in small: three files of a field find their row, wherever they lie."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from storage.datasets.bbbc021 import CHANNELS, IMAGES, MECHANISMS, fetch, layout
from storage.errors import DataError, MissingError
from storage.ingest import ingest

WAVES = {"DAPI": "w1", "Tubulin": "w2", "Actin": "w4"}
HEADER = (
    "TableNumber,ImageNumber,Image_FileName_DAPI,Image_PathName_DAPI,Image_FileName_Tubulin,Image_PathName_Tubulin,"
    "Image_FileName_Actin,Image_PathName_Actin,Image_Metadata_Plate_DAPI,Image_Metadata_Well_DAPI,Replicate,"
    "Image_Metadata_Compound,Image_Metadata_Concentration"
)
FIELDS = [
    # plate, well, field, replicate, compound, concentration
    ("Week1_22123", "B02", 1, 1, "5-fluorouracil", "0.003"),
    ("Week1_22123", "B02", 2, 1, "5-fluorouracil", "0.003"),
    ("Week1_22123", "G11", 1, 1, "DMSO", "0"),
    ("Week4_27481", "B02", 1, 2, "taxol", "0.3"),
]
MOA = '"compound",concentration,"moa"\n"taxol",0.300000,"Microtubule stabilizers"\n"DMSO",0.000000,"DMSO"\n'


def file_name(number: int, channel: str) -> str:
    plate, well, field, *_ = FIELDS[number]
    day = "Week1_150607_" if plate.startswith("Week1") else ""  # only some of the names begin so
    return f"{day}{well}_s{field}_{WAVES[channel]}{number}F{channel.upper()}-A92E.tif"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four fields of 12 x 16; the value of all pixels is 10 times the field's number plus the wave."""
    folder, rows = tmp_path / "bbbc021", [HEADER]
    for number, (plate, well, _, replicate, compound, concentration) in enumerate(FIELDS):
        path = f"{plate.split('_')[0]}/{plate}"
        names = [file_name(number, channel) for channel in WAVES]
        files = ",".join(f"{name},{path}" for name in names)
        rows.append(f"4,{number},{files},{plate},{well},{replicate},{compound},{concentration}")
        for channel, name in zip(WAVES, names, strict=True):
            (folder / plate).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / plate / name, np.full((12, 16), 10 * number + int(WAVES[channel][1]), np.uint16))
    (folder / IMAGES).write_text("\n".join(rows) + "\n")
    (folder / MECHANISMS).write_text(MOA)
    return folder


def test_a_file_is_described_by_its_row(folder: Path) -> None:
    describe = layout(folder).describe
    described = {
        "batch": "Week4",
        "plate": "Week4_27481",
        "well": "B02",
        "field": 1,
        "replicate": 2,
        "compound": "taxol",
        "concentration": 0.3,
        "moa": "Microtubule stabilizers",
    }
    for channel in CHANNELS:
        assert describe(f"Week4_27481/{file_name(3, channel)}") == described | {"channel": channel}
        assert describe(f"images/Week4/Week4_27481/{file_name(3, channel)}") == described | {"channel": channel}
    assert describe("Week4_27481/thumbnail.tif") is None
    assert "moa" not in (describe(file_name(0, "DAPI")) or {"moa": ""})


def test_it_becomes_fields_of_three_channels(folder: Path, tmp_path: Path) -> None:
    assert fetch(folder.parent, lambda done, total: None) == folder
    found = ingest(folder, tmp_path / "store.zarr", layout(folder))
    assert not found.quarantined
    rows = found.store.images.to_pylist()
    assert sorted((row["plate"], row["well"], row["field"]) for row in rows) == sorted(one[:3] for one in FIELDS)
    assert sorted(row["moa"] or "" for row in rows) == ["", "", "DMSO", "Microtubule stabilizers"]
    assert {one.channels for one in found.store.series} == {CHANNELS}
    for row in rows:
        number = [field[:3] for field in FIELDS].index((row["plate"], row["well"], row["field"]))
        pixels = zarr.open_array(found.store.path / row["series"] / "0", mode="r")[row["first_frame"]]
        assert pixels[:, 0, 0, 0].tolist() == [10 * number + wave for wave in (1, 4, 2)]


def test_a_folder_without_its_tables_is_refused(folder: Path) -> None:
    (folder / MECHANISMS).unlink()
    with pytest.raises(MissingError, match=MECHANISMS):
        layout(folder)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("Image_Metadata_Compound", "Compound", "Image_Metadata_Compound"),
        (",0.3\n", ",high\n", "'high'"),
        ("B02_s1_w13FDAPI", "B02_w13FDAPI", "B02_w13FDAPI"),
    ],
    ids=["a column", "a concentration", "a name"],
)
def test_another_table_is_refused(old: str, new: str, found: str, folder: Path) -> None:
    text = (folder / IMAGES).read_text()
    assert old in text
    (folder / IMAGES).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=found):
        layout(folder)


def test_the_published_tables_name_every_file_once(real_data: Path, tmp_path: Path) -> None:
    """The tables are the same as those beside the profiles."""
    (tmp_path / IMAGES).write_bytes(gzip.decompress((real_data / "bbbc021_profiles" / f"{IMAGES}.gz").read_bytes()))
    (tmp_path / MECHANISMS).write_bytes((real_data / "bbbc021_profiles" / MECHANISMS).read_bytes())
    describe = layout(tmp_path).describe
    lines = (tmp_path / IMAGES).read_text().splitlines()[1:]
    rows = [describe(line.split(",")[place]) for line in lines for place in (2, 4, 6)]
    assert len(rows) == 39_600
    assert None not in rows
    found = [row for row in rows if row]
    keys = ("plate", "well", "field", "channel")
    assert len({tuple(row[key] for key in keys) for row in found}) == 39_600
    sizes = {"batch": 10, "plate": 55, "well": 60, "field": 4, "compound": 113, "moa": 14}
    assert {key: len({row.get(key) for row in found}) for key in sizes} == sizes  # 12 mechanisms, DMSO, unknown
    known = {(row["compound"], row["concentration"]) for row in found if row.get("moa", "DMSO") != "DMSO"}
    assert (len(known), len({compound for compound, _ in known})) == (103, 38)
