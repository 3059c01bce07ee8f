"""Tables of data sets: read as they are, or refused with the reason."""

import gzip
from pathlib import Path

import pytest

from storage.csv_table import read_table
from storage.errors import DataError, MissingError

ROWS = [{"well": "B02", "dose": "0.3"}, {"well": "B03", "dose": "10"}]


def test_rows_come_as_text_plain_or_gzipped(tmp_path: Path) -> None:
    text = "well,dose\nB02,0.3\nB03,10\n"
    (tmp_path / "a.csv").write_text("\ufeff" + text)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "a.txt").write_text(text.replace(",", "\t"))
    assert read_table(tmp_path / "a.csv", ["well"], numbers=["dose"]) == ROWS
    assert read_table(tmp_path / "a.csv.gz", ["well", "dose"]) == ROWS
    assert read_table(tmp_path / "a.txt", ["well", "dose"], delimiter="\t") == ROWS


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "no column dose, well"),
        (b"well\nB02\n", "no column dose"),
        (b"well,dose\nB02\n", "another length"),
        (b"well,dose\nB02,1,2\n", "another length"),
        (b"well,dose\nB02,none\n", "'none' as dose"),
        (b"well,dose\nB02,nan\n", "'nan' as dose"),
        (b'well,dose\n"B02,1\n', "unexpected end"),
        (b"\xff\xfe\x00", "utf-8"),
    ],
)
def test_what_is_no_such_table_is_refused(content: bytes, found: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=found):
        read_table(tmp_path / "a.csv", ["well", "dose"], numbers=["dose"])


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"well,dose\n" * 100, mtime=0)[:-10], b""])
def test_a_broken_gzip_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match="not the table"):
        read_table(tmp_path / "a.csv.gz", ["well", "dose"])


def test_a_table_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"a\.csv"):
        read_table(tmp_path / "a.csv", ["well"])
