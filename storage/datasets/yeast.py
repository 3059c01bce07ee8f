"""Budding yeast: a red marker of the cell and one of five proteins in green (Lu et al., paired cell inpainting).

1,220 cells of 64 x 64, float32 in [0, 1], of 3 fields of each of AAC1, AAC3, AAH1, AAP1, AAR2. It stands in for LIN.

`field` is 1, 2 or 3 for every protein, so a split by `field` holds out whole fields of all five. The red channel
alone tells the protein with 0.45 (the largest class is 0.25): fields differ in brightness. Whatever is said of green
given red needs the score of red alone beside it. AAC1 and AAC3 are faint.
"""

import csv
import hashlib
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from storage.datasets import About, Progress
from storage.download import check, different, download, repository
from storage.durable import staged
from storage.errors import ServiceError
from storage.layout import Layout, Samples

ARCHIVE = repository(
    "alexxijielu/paired_cell_inpainting",
    "f9d7583",
    {r"yeast_model/toy_dataset/images/\w+/(\w+_[123]_rfp_\d+_[rg]fp\.tif)": r"\1"},
)
CELLS = 1_220
TABLE = {"cells.csv": (1, "eaf20841384db3edf3aa0608c4002bba4c6813c56874a2c7e6b05c81b1dab6b8")}
PIXELS = "91be717c3ab91b8225495563202ba530d61182a75cee138b750bf27a24273032"
"""SHA-256 of the pixels, N Y X C: how NPZ packs them may differ."""
ABOUT = About(
    title="1,220 yeast cells, a red marker and one of five green proteins, 64 x 64",
    source=ARCHIVE.source,
    licence="GPL-2.0, as its repository",
    groups=("field", "protein"),
    cite="Lu, Kraus, Cooper, Moses: Learning unsupervised feature representations by paired cell inpainting",
)
_NPZ = "cells_f32_64x64x2.npz"
_NAME = re.compile(r"(\w+)_(\d+)_rfp_(\d+)_gfp\.tif")


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the cells in `cache`/yeast, or download the repository's pairs of TIFFs and pack them; checked either way.

    Raises ServiceError: they could not be downloaded.  Raises DataError: they are not what was published.
    """
    folder = cache / "yeast"
    if not folder.is_dir():
        with staged(folder) as partial:
            with tempfile.TemporaryDirectory(dir=partial) as pairs:
                download("yeast", ARCHIVE, Path(pairs), progress)
                _pack(Path(pairs), partial)
            _check(partial)
        return folder
    _check(folder)
    return folder


def layout(folder: Path) -> Layout:
    """Sample arrays; cells.csv has protein, field and cell of each."""
    return Layout(channels=("red", "green"), samples=Samples(_NPZ, axes="NYXC", array="images", table="cells.csv"))


def _pack(pairs: Path, target: Path) -> None:
    """Write the cells of a folder of NAME_gfp.tif and NAME_rfp.tif, in the order of their names."""
    cells: list[NDArray[np.float32]] = []
    rows: list[list[Any]] = []
    for green in sorted(pairs.glob("*_gfp.tif")):
        match, red = _NAME.fullmatch(green.name), green.with_name(green.name.replace("_gfp.", "_rfp."))
        if match and red.is_file():
            cells.append(np.stack([tifffile.imread(red), tifffile.imread(green)], axis=-1))
            rows.append([len(rows), *match.groups(), green.name])
    if not cells:
        raise ServiceError("the data set yeast could not be downloaded", "no cells in the archive", "Try again later")
    np.savez_compressed(target / _NPZ, images=np.stack(cells))
    with (target / "cells.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["index", "protein", "field", "cell", "gfp_file"], *rows])


def _check(folder: Path) -> None:
    check(folder, TABLE)
    try:
        with np.load(folder / _NPZ, allow_pickle=False) as arrays:
            found = hashlib.sha256(arrays["images"].tobytes()).hexdigest()
    except (FileNotFoundError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise different(folder, f"{_NPZ}: {error}") from None
    if found != PIXELS:
        raise different(folder, f"other pixels in {_NPZ}")
