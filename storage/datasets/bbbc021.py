"""MCF-7 cells under 113 compounds: DNA, actin, tubulin (BBBC021v1; Caie et al. 2010, Ljosa et al. 2012).

39,600 TIFFs of 1024 x 1280, 16 bits, one per channel: 55 plates of 60 wells with 4 fields each. As published they
are one ZIP file per plate (Week1_22123 to Week10_40119) and two tables. `w1`, `w2`, `w4` in the names are DAPI,
Tubulin, Actin; the channels here are in the order of `bbbc021_cells`: DAPI, Actin, Tubulin.

103 treatments (compound and concentration) of 38 compounds have one of 12 mechanisms (`moa`), DMSO has "DMSO", the
other images have none. Every treatment lies in one week (`batch`). Wells have the same names on all plates, so
a split by `well` puts all its plates together. There is no illumination correction in the files.
"""

import re
from pathlib import Path, PurePosixPath

from storage.csv_table import read_table
from storage.datasets import About, Progress
from storage.download import find
from storage.errors import DataError
from storage.layout import Layout, Value

SOURCE = "bbbc.broadinstitute.org/BBBC021"
ABOUT = About(
    title="MCF-7 cells under 113 compounds; 13,200 fields of 55 plates; DNA, actin, tubulin; brought by hand",
    source=SOURCE,
    licence="CC BY-NC-SA 3.0 as far as known: confirm before redistributing",
    groups=("batch", "plate", "compound"),
    cite="Caie et al. 2010, Mol Cancer Ther 9:1913; BBBC021v1 (Ljosa et al. 2012, Nat Methods 9:637)",
)
CHANNELS = ("DAPI", "Actin", "Tubulin")
IMAGES, MECHANISMS = "BBBC021_v1_image.csv", "BBBC021_v1_moa.csv"
_COLUMNS = (
    *(f"Image_FileName_{channel}" for channel in CHANNELS),
    *("Image_PathName_DAPI", "Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI", "Replicate"),
    *("Image_Metadata_Compound", "Image_Metadata_Concentration"),
)
_FIELD = re.compile(r"_s(\d+)_w1")


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the images in `cache`/bbbc021: 40 GB nobody fetches unattended, and without published digests.

    Raises ServiceError: they are not there.
    """
    return find(cache / "bbbc021", SOURCE, f"{IMAGES}, {MECHANISMS} and the unpacked ZIP files of the plates")


def layout(folder: Path) -> Layout:
    """A field of a well per three files, found in the table by their names wherever they lie below the folder.

    The keys are batch (Week4), plate (Week4_27481), well (B02), field, replicate, compound, concentration (micromolar)
    and moa where it is known.

    Raises MissingError or DataError: one of the two tables is not there, or is another.
    """
    mechanisms = read_mechanisms(folder / MECHANISMS)
    known: dict[str, dict[str, Value]] = {}
    for row in read_images(folder / IMAGES):
        described = treatment(row, mechanisms) | {"field": _field(row), "replicate": int(row["Replicate"])}
        for channel in CHANNELS:
            known[row[f"Image_FileName_{channel}"]] = described | {"channel": channel}
    return Layout(describe=lambda file: known.get(PurePosixPath(file).name), channels=CHANNELS)


def read_images(path: Path) -> list[dict[str, str]]:
    """The rows of BBBC021_v1_image.csv (or .csv.gz), one per field."""
    return read_table(path, _COLUMNS, numbers=("Replicate", "Image_Metadata_Concentration"))


def read_mechanisms(path: Path) -> dict[tuple[str, float], str]:
    """(compound, concentration) -> mechanism of action, from BBBC021_v1_moa.csv."""
    rows = read_table(path, ("compound", "concentration", "moa"), numbers=("concentration",))
    return {(row["compound"], float(row["concentration"])): row["moa"] for row in rows}


def treatment(row: dict[str, str], mechanisms: dict[tuple[str, float], str]) -> dict[str, Value]:
    """What a row of the images' table says of its well: batch, plate, well, compound, concentration and moa."""
    compound, concentration = row["Image_Metadata_Compound"], float(row["Image_Metadata_Concentration"])
    found: dict[str, Value] = {
        "batch": row["Image_PathName_DAPI"].split("/")[0],
        "plate": row["Image_Metadata_Plate_DAPI"],
        "well": row["Image_Metadata_Well_DAPI"],
        "compound": compound,
        "concentration": concentration,
    }
    moa = mechanisms.get((compound, concentration))
    return found if moa is None else found | {"moa": moa}


def _field(row: dict[str, str]) -> int:
    match = _FIELD.search(row["Image_FileName_DAPI"])
    if match is None:
        raise DataError(f"{IMAGES} names a file without a field", row["Image_FileName_DAPI"], "Copy the table again")
    return int(match[1])
