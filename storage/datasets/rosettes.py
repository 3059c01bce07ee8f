"""C. elegans embryos with fluorescent membranes, some of them with a rosette (Wang et al., BioGAN).

11,250 unlabelled images of 128 x 128 (45 embryos, 50 minutes, 5 slices) and 1,578 labelled ones. 1,576 of the
labelled images are also among the unlabelled: a model that is judged on a date must not have been
pretrained on it. `split` is that of their repository: 20170720 is the test date.

The raw frames of 512 x 512, out of which these images were cut at random inside one box per embryo, are not public;
the boxes are (`boxes`). docs/datasets.md says how one's own frames go through the same steps.
"""

import re
import zipfile
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl
import pyarrow as pa
from openpyxl.utils.exceptions import InvalidFileException

from storage.datasets import About, Progress
from storage.download import fetch as fetch_archive
from storage.download import repository
from storage.errors import DataError, MissingError
from storage.layout import Layout

ARCHIVE = repository(
    "DongCiLu/BioGAN",
    "3b8b0306e831be93c90fc7e7101fff292694e96d",
    {
        r"dataset/unsupervised/([^/]+\.jpg)": r"unlabelled/\1",
        r"dataset/supervised/rosette_combined/([^/]+\.jpg)": r"labelled/rosette/\1",
        r"dataset/supervised/non_rosette/([^/]+\.jpg)": r"labelled/non_rosette/\1",
        r"dataset/unsupervised/(bodndingbox\.xlsx)": r"extra/\1",
    },
)
CONTENT = {
    "unlabelled/*.jpg": (11_250, "fb2a86ba7f95b09bd36eb115ff72ff365afee3b7d03123ed3f7b0c3199ca6c49"),
    "labelled/rosette/*.jpg": (386, "c7fbbe122811b051ca63c09da579c8904e1860c22de379431a3867f52a4a2b13"),
    "labelled/non_rosette/*.jpg": (1_192, "664116ecfd15d856b98aaf10a41295b07871399ecc24962e1660bf9e8b9d89a5"),
    "extra/bodndingbox.xlsx": (1, "af424c3f38b6fe74afd75a20e0c858417cddaa4fed1b1f53edd91ad17c0a3fbc"),
}
ABOUT = About(
    title="C. elegans embryos, membranes; 11,250 unlabelled and 1,578 labelled 128 x 128 images",
    source=ARCHIVE.source,
    licence="none given: download for research, never redistribute",
    groups=("date", "embryo"),
    cite="Wang et al., BioGAN",
)
TEST_DATE = "20170720"
FRAME_PX = 512
DATES = {"date11": "20170711", "date15": "20170715", "date20": "20170720"}
_NAME = re.compile(
    r"YX_BV24_WT_Journal14_(?P<date>\d{8})_(?P<run>\d+)_s(?P<position>\d+)_t(?P<time>\d+)"
    r"(?:_emb(?P<emb>\d+))?(?:_slice(?P<slice>\d+))?"
)


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the images in `cache`/rosettes, or download them there; either way every byte is checked."""
    return fetch_archive(cache / "rosettes", ARCHIVE, CONTENT, progress)


def layout(folder: Path) -> Layout:
    """One image per file, described by its name alone."""
    return Layout(describe=metadata)


def metadata(file: str) -> dict[str, str | int]:
    """Label, date, split, stage position, embryo, minute and slice, as far as the name has them.

    t75 and t075 are the same minute. Two labelled files name no embryo, and one of them no slice.
    """
    path = PurePosixPath(file)
    label = path.parent.name if path.parent.name in ("rosette", "non_rosette") else "unlabelled"
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return {"label": label}
    date, position, emb = match["date"], int(match["position"]), match["emb"]
    found: dict[str, str | int] = {"label": label, "date": date, "position": position, "time": int(match["time"])}
    found["split"] = "test" if date == TEST_DATE else "train"
    found["embryo"] = f"{date}_s{position}_emb{emb or '_unnamed'}"
    if match["slice"]:
        found["slice"] = int(match["slice"])
    return found


def boxes(path: Path) -> pa.Table:
    """The box of each embryo in the raw frames, 512 x 512 pixels, from `extra/bodndingbox.xlsx`.

    One row per embryo: date, position, embryo (named as in `metadata`), and x, y, width, height in pixels; x and y are
    the upper left corner.

    Raises MissingError: there is no such file.  Raises DataError: it is not such a sheet, or a box leaves the frame.
    """
    if not path.is_file():
        raise MissingError(f"there is no sheet of boxes at {path}", "no such file", "Fetch the data set first")
    try:
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            rows = [row for row in book.worksheets[0].iter_rows(max_col=7, values_only=True) if any(row)]
    except (zipfile.BadZipFile, InvalidFileException, ParseError, KeyError, ValueError) as error:
        raise _no_boxes(path, str(error)) from None
    found: list[dict[str, Any]] = []
    date = stage = None
    for row in rows:
        date, stage = row[0] or date, row[1] or stage  # a label holds until the next one
        found.append(_box(path, date, stage, row[2:]))
    return pa.Table.from_pylist(found)


def _box(path: Path, date: Any, stage: Any, cells: tuple[Any, ...]) -> dict[str, Any]:
    embryo, *edges = cells
    position, number = re.fullmatch(r"[sS](\d+)", str(stage)), re.fullmatch(r"emb(\d+)", str(embryo))
    whole = len(edges) == 4 and all(isinstance(edge, int) for edge in edges)
    if date not in DATES or not position or not number or not whole:
        raise _no_boxes(path, f"a row {date}, {stage}, {', '.join(map(str, cells))}")
    x, y, width, height = edges
    if min(x, y, width - 1, height - 1) < 0 or max(x + width, y + height) > FRAME_PX:
        raise _no_boxes(path, f"a box {x}, {y}, {width}, {height} in a frame of {FRAME_PX} x {FRAME_PX}")
    name = f"{DATES[date]}_s{position[1]}_emb{number[1]}"
    place = {"x": x, "y": y, "width": width, "height": height}
    return {"date": DATES[date], "position": int(position[1]), "embryo": name} | place


def _no_boxes(path: Path, found: str) -> DataError:
    return DataError(f"{path} is not the published sheet of embryo boxes", found, "Fetch the data set again")
