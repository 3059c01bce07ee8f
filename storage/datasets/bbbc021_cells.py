"""Single cells of BBBC021: DMSO against cycloheximide ("cyclohexamide"), which stops protein synthesis.

1,981 crops of 68 x 68, 16 bits, of 33 fields of 4 plates: DAPI, Actin, Tubulin, in this order (the readme of their
repository has the last two the wrong way round; wells correlate with CellProfiler's intensities only so). Crops show
their neighbours: split by plate, or by field (`dapi_file`), never by crop.

Brightness alone tells the two classes on a held-out plate with 0.96 (0.90 after scaling each image to its 99th
percentile): what a model learned must beat that. Two classes of one compound cannot show that mechanisms are
told apart; `bbbc021_profiles` can.
"""

from pathlib import Path

from storage.datasets import About, Progress
from storage.download import check, find
from storage.layout import Layout, Samples

SOURCE = "github.com/Ottohesten/02466-Cell-Profiling at 03cdaed"
CONTENT = {"cells*": (2, "91e13b2ae5aa119f9f4474cecc21e0b27a13c0a24e51a5aefe22597daa78ad0d")}
ABOUT = About(
    title="1,981 single cells of BBBC021, DMSO or cycloheximide, 68 x 68; DNA, actin, tubulin; brought by hand",
    source=SOURCE,
    licence="that of BBBC021, CC BY-NC-SA 3.0 as far as known: confirm before redistributing",
    groups=("plate", "dapi_file"),
    cite="Caie et al. 2010, Mol Cancer Ther 9:1913; BBBC021v1 (Ljosa et al. 2012, Nat Methods 9:637)",
)


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the crops in `cache`/bbbc021_cells, and check every byte.

    They are a choice among the 7,774 NPY files of the repository, at most 250 per plate and dose, that cannot be made
    again from what is public.  Raises ServiceError: they are not there.  Raises DataError: they are others.
    """
    folder = find(cache / "bbbc021_cells", SOURCE, "cells_u16_68x68x3.npz and cells.csv, chosen from its data_subset")
    check(folder, CONTENT)
    return folder


def layout(folder: Path) -> Layout:
    """Sample arrays; cells.csv has plate, well, replicate, compound, concentration, moa and file names of each."""
    samples = Samples("cells_u16_68x68x3.npz", axes="NYXC", array="images", table="cells.csv")
    return Layout(channels=("DAPI", "Actin", "Tubulin"), samples=samples)
