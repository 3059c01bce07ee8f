"""The rosette images: the odd names are understood, the published set is what its module says, boxes are read."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from storage.datasets import rosettes
from storage.datasets.rosettes import ARCHIVE, boxes, fetch, layout, metadata
from storage.errors import DataError, MissingError

ODD = {
    "date": "20170711",
    "split": "train",
    "position": 1,
    "time": 51,
    "embryo": "20170711_s1_emb_unnamed",
    "slice": 13,
}


def silent(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (
            "unlabelled/YX_BV24_WT_Journal14_20170711_2_s5_t075_emb1_slice09.jpg",
            {
                "label": "unlabelled",
                "date": "20170711",
                "split": "train",
                "position": 5,
                "time": 75,
                "embryo": "20170711_s5_emb1",
                "slice": 9,
            },
        ),
        (
            "labelled/rosette/YX_BV24_WT_Journal14_20170711_2_s5_t75_emb1_slice09.jpg",
            {
                "label": "rosette",
                "date": "20170711",
                "split": "train",
                "position": 5,
                "time": 75,
                "embryo": "20170711_s5_emb1",
                "slice": 9,
            },
        ),
        (
            "labelled/non_rosette/YX_BV24_WT_Journal14_20170711_2_s1_t051_slice13.jpg",
            {"label": "non_rosette", **ODD},
        ),
        (
            "labelled/non_rosette/YX_BV24_WT_Journal14_20170720_2_s1_t091.jpg",
            {
                "label": "non_rosette",
                "date": "20170720",
                "split": "test",
                "position": 1,
                "time": 91,
                "embryo": "20170720_s1_emb_unnamed",
            },
        ),
        ("labelled/rosette/other.jpg", {"label": "rosette"}),
        ("other.jpg", {"label": "unlabelled"}),
    ],
)
def test_names_tell_what_they_have(file: str, found: dict[str, str | int]) -> None:
    assert metadata(file) == found


def test_the_published_set_is_as_its_module_says(real_data: Path) -> None:
    folder = fetch(real_data, silent)
    assert folder == real_data / "rosettes"
    rows = [metadata(path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*.jpg"))]
    labels = [row["label"] for row in rows]
    assert {label: labels.count(label) for label in set(labels)} == {
        "unlabelled": 11_250,
        "rosette": 386,
        "non_rosette": 1_192,
    }
    places: dict[bool, set[tuple[object, ...]]] = {True: set(), False: set()}
    for row in rows:
        places[row["label"] == "unlabelled"].add((row["embryo"], row["time"], row.get("slice")))
    unlabelled, labelled = places[True], places[False]
    assert len(unlabelled) == 11_250
    assert [len({place[axis] for place in unlabelled}) for axis in (0, 1, 2)] == [45, 50, 5]
    assert len(labelled - unlabelled) == 2
    held_out = [row["label"] for row in rows if row["split"] == "test" and row["label"] != "unlabelled"]
    assert (held_out.count("rosette"), held_out.count("non_rosette")) == (112, 348)  # dataset/supervised_split


def test_a_file_is_described_by_its_name(tmp_path: Path) -> None:
    name = "unlabelled/YX_BV24_WT_Journal14_20170711_2_s5_t075_emb1_slice09.jpg"
    assert layout(tmp_path).describe(name) == metadata(name)


@pytest.mark.parametrize(
    ("member", "place"),
    [
        ("dataset/unsupervised/x.jpg", "unlabelled/x.jpg"),
        ("dataset/supervised/rosette_combined/x.jpg", "labelled/rosette/x.jpg"),
        ("dataset/supervised/non_rosette/x.jpg", "labelled/non_rosette/x.jpg"),
        ("dataset/unsupervised/bodndingbox.xlsx", "extra/bodndingbox.xlsx"),
        ("dataset/supervised/high_prob_rosette/x.jpg", None),
        ("reports/x.jpg", None),
    ],
)
def test_the_repository_s_folders_are_ours(member: str, place: str | None) -> None:
    assert ARCHIVE.place(f"BioGAN-1/{member}") == place


Sheet = Callable[..., Path]


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    def save(*rows: tuple[Any, ...]) -> Path:
        book = openpyxl.Workbook()
        assert book.active is not None
        for row in rows:
            book.active.append(row)
        book.save(tmp_path / "boxes.xlsx")
        return tmp_path / "boxes.xlsx"

    return save


FIRST = ("date11", "s1", "emb1", 62, 219, 219, 222)


def test_a_label_holds_until_the_next_one(sheet: Sheet) -> None:
    rows = (FIRST, (None, None, "emb2", 1, 2, 3, 4), (None,) * 7, ("date20", "S6", "emb1", 5, 6, 7, 8))
    assert list(zip(*boxes(sheet(*rows)).to_pydict().values(), strict=True)) == [
        ("20170711", 1, "20170711_s1_emb1", 62, 219, 219, 222),
        ("20170711", 1, "20170711_s1_emb2", 1, 2, 3, 4),
        ("20170720", 6, "20170720_s6_emb1", 5, 6, 7, 8),
    ]


@pytest.mark.parametrize(
    "row",
    [
        ("date12", *FIRST[1:]),
        ("date11", None, *FIRST[2:]),
        (*FIRST[:2], "cell1", *FIRST[3:]),
        (*FIRST[:6], None),
        (*FIRST[:6], "222"),
        (*FIRST[:3], 300, 219, 219, 222),
        (*FIRST[:3], -1, 219, 219, 222),
        (*FIRST[:3], 62, 219, 0, 222),
    ],
    ids=["a date", "no stage", "no embryo", "no height", "text", "beside the frame", "left of it", "empty"],
)
def test_a_sheet_of_something_else_is_refused(row: tuple[Any, ...], sheet: Sheet) -> None:
    with pytest.raises(DataError, match="not the published sheet"):
        boxes(sheet(row))


def test_a_file_that_is_no_sheet_is_refused(sheet: Sheet, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"boxes\.xlsx"):
        boxes(tmp_path / "boxes.xlsx")
    whole = sheet(FIRST)
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(tmp_path / "torn.xlsx", "w") as torn:
        for name in archive.namelist():
            data = archive.read(name)
            torn.writestr(name, data[: len(data) // 2] if name.startswith("xl/worksheets") else data)
    (tmp_path / "text.xlsx").write_bytes(b"PK or something")
    for name in ("torn.xlsx", "text.xlsx"):
        with pytest.raises(DataError, match="not the published sheet"):
            boxes(tmp_path / name)


def test_every_embryo_of_the_published_set_has_its_box(real_data: Path) -> None:
    table = boxes(real_data / "rosettes" / "extra" / "bodndingbox.xlsx")
    assert table.num_rows == 45
    images = (real_data / "rosettes" / "unlabelled").glob("*.jpg")
    assert set(table["embryo"].to_pylist()) == {rosettes.metadata(path.name)["embryo"] for path in images}
    assert min(table["width"].to_pylist() + table["height"].to_pylist()) >= 128  # a crop of 128 x 128 fits
