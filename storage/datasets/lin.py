"""Fission yeast: Bgs4 in red, one of 41 polarity proteins in green (LIN; Dodgson et al. 2017, Osokin et al. 2017).

PNG of 48 x 80, RGB of 8 bits: red Bgs4, green the protein, blue unused. Osokin et al. use Alp14, Arp3, Cki2, Mkh1,
Sid2 and Tea1, 26,909 images. They were split into train and test image by image, and nothing says which cells came
from one field, so a grouped split cannot be made; the published one is the column `split`.
"""

import re
from pathlib import Path

from storage.datasets import About, Progress
from storage.download import find
from storage.layout import Layout

SOURCE = "www.di.ens.fr/sierra/research/biogans/LIN_Normalized_WT_size-48-80.zip"
ABOUT = About(
    title="fission yeast, Bgs4 in red and one of 41 proteins in green, 48 x 80 pixels; brought by hand",
    source=SOURCE,
    licence="ask the authors of Dodgson et al. 2017",
    groups=("split", "protein"),
    cite="Dodgson et al. 2017, bioRxiv 11674; Osokin et al. 2017, GANs for Biological Image Synthesis",
)
_FILE = re.compile(r"LIN_Normalized_WT_size-48-80_(train|test)/([^/]+)/cell(\d+)\.png")


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the images in `cache`/lin; no digests of the archive are published, so it is not downloaded unattended.

    Raises ServiceError: they are not there.
    """
    return find(
        cache / "lin",
        SOURCE,
        "the two folders of that archive, LIN_Normalized_WT_size-48-80_train and LIN_Normalized_WT_size-48-80_test",
    )


def layout(folder: Path) -> Layout:
    """One image per file; split, protein and cell from its path. The channels are red, green, blue as in the files."""
    return Layout(describe=_describe)


def _describe(file: str) -> dict[str, str | int] | None:
    match = _FILE.fullmatch(file)
    return {"split": match[1], "protein": match[2], "cell": int(match[3])} if match else None
