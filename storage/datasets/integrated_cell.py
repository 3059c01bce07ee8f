"""Human stem cells, aligned: membrane, one of ten structures, DNA (Johnson, Donovan-Maiye, Maleckar 2017).

One RGB PNG per cell in a folder per structure, STRUCTURE/CELL.png: maximum projections, the cell's major axis along
the image and the nucleus in its middle. 6,077 cells: alpha-actinin 493, alpha-tubulin 1043, beta-actin 542, desmoplakin
229, fibrillarin 988, lamin B1 785, myosin IIB 157, Sec61 beta 835, TOM20 771, ZO1 234 (their table S8). Several cells
come from one field, but the files do not say which.

The paper's own split, 5 % at random with the generator of its program, cannot be made again. `split` is that of its
successor (pytorch_integrated_cell): a hash of seed and cell, which stays when cells are added.
"""

import hashlib
from pathlib import Path, PurePosixPath

from storage.datasets import About, Progress
from storage.download import find
from storage.layout import Layout

SOURCE = "s3://aics.integrated.cell.arxiv.paper.data"
ABOUT = About(
    title="stem cells, maximum projections of membrane, one of ten structures, and DNA; brought by hand",
    source=SOURCE,
    licence="not given with the images: ask the Allen Institute for Cell Science",
    groups=("split", "structure"),
    cite="Johnson, Donovan-Maiye, Maleckar 2017, Building an Integrated Cell (arXiv 1705.00092)",
)
SEED = 1
HELD_OUT = 0.1
PIXEL_UM = 0.317 / 2.9414
"""Of the published files; training shrinks them by 2.9414 to the 0.317 um of the paper."""


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the images in `cache`/integrated_cell; nothing published says what they should hash to.

    Raises ServiceError: they are not there.
    """
    return find(cache / "integrated_cell", SOURCE, "a folder of PNG files for each structure")


def layout(folder: Path) -> Layout:
    """One image per file; structure and cell from its path, and the split."""
    return Layout(_describe, channels=("membrane", "structure", "DNA"), pixel_um=(None, PIXEL_UM, PIXEL_UM))


def split(cell: str, seed: int = SEED) -> str:
    """`test`, `validation` or `train` (10, 10 and 80 %): SHA-512 of seed and cell, its first five decimal digits."""
    digits = [digit for digit in hashlib.sha512(f"{seed}{cell}".encode()).hexdigest() if digit.isdigit()]
    place = int("".join(digits[:5])) / 100_000
    return "test" if place <= HELD_OUT else "validation" if place <= 2 * HELD_OUT else "train"


def _describe(file: str) -> dict[str, str] | None:
    path = PurePosixPath(file)
    if len(path.parts) != 2 or path.suffix != ".png" or not path.stem:
        return None
    return {"structure": path.parts[0], "cell": path.stem, "split": split(path.stem)}
