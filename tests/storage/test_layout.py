"""Patterns of file names and tables: what matches, what a row is joined with, and mistakes that are told."""

from pathlib import Path

import pytest

from storage.errors import DataError, MissingError, RecipeError
from storage.layout import Layout, from_pattern

SCREEN = "{plate}/{well}_{field}_{channel}.tif"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("\ufeffplate,well,compound,dose,note\n7,B02,taxol,0.5,\n8,B02,DMSO,0,control\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("pattern", "file", "found"),
    [
        (SCREEN, "P1/B02_3_DNA.tif", {"plate": "P1", "well": "B02", "field": "3", "channel": "DNA"}),
        (SCREEN, "deep/er/P1/B02_3_DNA.tif", {"plate": "P1", "well": "B02", "field": "3", "channel": "DNA"}),
        (SCREEN, "P1/B02_3_DNA_raw.tif", {"plate": "P1", "well": "B02", "field": "3", "channel": "DNA_raw"}),
        (SCREEN, "B02_3_DNA.tif", None),
        (SCREEN, "P1/B02_3_DNA.tiff", None),
        (SCREEN, "P1/B02_DNA.tif", None),
        (SCREEN, "P1/x/B02_3_DNA.tif", {"plate": "x", "well": "B02", "field": "3", "channel": "DNA"}),
        ("{name}.tif", "a_tif", None),  # a dot is a dot
        ("{name}.tif", ".tif", None),
        ("raw (1)/{name}.tif", "raw (1)/a.tif", {"name": "a"}),
        ("{e}_{t}_{z}.png", "a_t007_Z12.png", {"e": "a", "t": 7, "z": 12}),
        ("{e}_{t}.png", "a_b_10.png", {"e": "a_b", "t": 10}),
        ("{e}_{t}.png", "a_x7.png", None),
        ("{a}.png", "strange\nname é.png", {"a": "strange\nname é"}),
    ],
)
def test_a_pattern_matches_the_end_of_a_path(pattern: str, file: str, found: dict[str, object] | None) -> None:
    assert from_pattern(pattern).describe(file) == found


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("*.tif", "names no field"),
        ("{a}_{a}.tif", "names a field twice"),
        ("{a_{b}.tif", "without its other half"),
        ("a}_{b}.tif", "without its other half"),
        ("{}.tif", "cannot be that of a column"),
        ("{a b}.tif", "cannot be that of a column"),
        ("{file}.tif", "cannot be that of a column"),
    ],
)
def test_a_bad_pattern_is_refused_and_told(pattern: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        from_pattern(pattern)


def test_a_table_joins_on_every_shared_column_and_007_is_7(table: Path) -> None:
    layout = from_pattern(SCREEN, table)
    seven = layout.describe("007/B02_1_DNA.tif")
    assert seven == {"plate": "007", "well": "B02", "field": "1", "channel": "DNA", "compound": "taxol", "dose": 0.5}
    assert (layout.describe("8/B02_1_DNA.tif") or {})["note"] == "control"
    assert layout.describe("9/B02_1_DNA.tif") == {"plate": "9", "well": "B02", "field": "1", "channel": "DNA"}
    assert layout.describe("no match.tif") is None
    assert layout.table == {"compound", "dose", "note"}
    assert layout.numbers == {"plate", "well", "field"}


def test_a_table_may_join_on_the_whole_path_and_say_the_place(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,channel,t\nb/x.tif,DNA,t03\nb/y.tif,RNA,\n".replace("t03", "3"))
    layout = from_pattern("{name}.tif", tmp_path / "t.csv")
    assert layout.describe("b/x.tif") == {"name": "x", "channel": "DNA", "t": 3}
    assert layout.describe("b/y.tif") == {"name": "y", "channel": "RNA"}
    assert layout.describe("a/x.tif") == {"name": "x"}


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (("1", "-2", ""), (1, -2, None)),
        (("1", "2.5", "1e3"), (1.0, 2.5, 1000.0)),
        (("1", "two", ""), ("1", "two", None)),
        (("1_000", "2", "3"), ("1_000", "2", "3")),
        (("nan", "1", "2"), ("nan", "1", "2")),
        (("99999999999999999999", "1", "2"), ("99999999999999999999", "1", "2")),
    ],
)
def test_a_column_of_a_table_is_of_one_kind(cells: tuple[str, ...], values: tuple[object, ...], tmp_path: Path) -> None:
    rows = "".join(f"{name},{cell}\n" for name, cell in zip("abc", cells, strict=True))
    (tmp_path / "t.csv").write_text(f"name,value\n{rows}")
    layout = from_pattern("{name}.tif", tmp_path / "t.csv")
    found = [(layout.describe(f"{name}.tif") or {}).get("value") for name in "abc"]
    assert list(map(repr, found)) == list(map(repr, values))


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        ("compound,dose\na,1\n", RecipeError, "shares no column.*compound, dose"),
        ("well,dose\nB02,1\nB02,2\n", RecipeError, "two rows for one file.*well = B02"),
        ("well,dose\n1,1\n01,2\n", RecipeError, "two rows for one file"),
        ("well,dose,dose\nB02,1,2\n", RecipeError, "need names"),
        ("well,\nB02,1\n", RecipeError, "need names"),
        ("", RecipeError, "need names"),
        ("well,dose\nB02\n", DataError, "1 cells in row 1 and 2 names"),
        ("well,t\nB02,early\n", RecipeError, "t is not a number.*early"),
        ('well,dose\nB02,"1\n', DataError, "is no CSV file"),
        (b"well,dose\nB02,\xff\n", DataError, "is no CSV file"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(
    content: str | bytes, error: type[Exception], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(error, match=reason):
        from_pattern("{well}.tif", path).describe("B02.tif")


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="there is no table"):
        from_pattern("{well}.tif", tmp_path / "nowhere.csv")


def test_by_default_every_file_is_wanted_and_nothing_is_said_of_it() -> None:
    assert Layout().describe("any/file.tif") == {}
