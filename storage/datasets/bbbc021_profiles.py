"""BBBC021 as numbers: 516 CellProfiler features of each of 632 wells, with mechanisms (Ljosa et al. 2013).

A table, not images: nothing of it can be ingested; `profiles` reads it. It is the yardstick of a scorer of mechanisms:
1-nearest-neighbour by cosine, never the same compound (NSC), on wells scaled per plate by mean and spread of their six
DMSO wells and averaged per treatment, finds 85 of 103 mechanisms; never the same week either (NSCB), 67, though only
92 can be found at all. The published 94 % needs single cells, which are not here.

Trap: three columns (*_Children_*_Count) do not vary among the DMSO wells of 23 plates. Divided by a spread of zero plus
something tiny they drown all others: 74 and 57. The source spells cycloheximide "cyclohexamide".
"""

from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from storage.datasets import About, Progress
from storage.datasets.bbbc021 import MECHANISMS, read_images, read_mechanisms, treatment
from storage.download import fetch as fetch_archive
from storage.download import repository
from storage.layout import Layout

ARCHIVE = repository(
    "cytomining/cytominergallery",
    "05d496f1e0bb80a9f887ae8ea0e47181ade179ff",
    {
        r"inst/extdata/(BBBC021_v1_image\.csv\.gz|BBBC021_v1_moa\.csv)": r"\1",
        r"inst/extdata/(ljosa_jbiomolscreen_2013_per_well_mean\.csv\.gz)": r"\1",
    },
)
CONTENT = {
    "*.csv.gz": (2, "92943cdc71958ccf60ebd25e65a916a5d477a5a067acdad6f878168c50b21854"),
    MECHANISMS: (1, "319d6e07ddb77b8ba5ef1798973264f1e40827e8bbd70b1643114e5f43cc616c"),
}
ABOUT = About(
    title="a table, no images: 516 CellProfiler features of 632 wells of BBBC021, with 12 mechanisms",
    source=ARCHIVE.source,
    licence="BSD style, Broad Institute",
    groups=("batch", "compound", "plate"),
    cite="Ljosa et al. 2013, J Biomol Screen 18:1321; Caie et al. 2010, Mol Cancer Ther 9:1913",
)


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the tables in `cache`/bbbc021_profiles, or download them there; either way every byte is checked."""
    return fetch_archive(cache / "bbbc021_profiles", ARCHIVE, CONTENT, progress)


def layout(folder: Path) -> Layout:
    """There are no images in the folder: every file is left out."""
    return Layout(describe=lambda file: None)


def profiles(folder: Path) -> pa.Table:
    """632 rows, one per well: plate, well, 516 features (float64), compound, concentration, moa, batch.

    330 rows are DMSO, with concentration 0 and moa "DMSO".  folder: as `fetch` returns it.

    Raises MissingError: it is not there.
    """
    mechanisms = read_mechanisms(folder / MECHANISMS)
    described = [treatment(row, mechanisms) for row in read_images(folder / "BBBC021_v1_image.csv.gz")]
    wells = csv.read_csv(folder / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz")
    wells = wells.rename_columns(["plate", "well", *wells.column_names[2:]])
    known = {(one["plate"], one["well"]): one for one in described}
    rows = [known[key] for key in zip(wells["plate"].to_pylist(), wells["well"].to_pylist(), strict=True)]
    for name in ("compound", "concentration", "moa", "batch"):
        wells = wells.append_column(name, pa.array([row.get(name) for row in rows]))
    return wells
