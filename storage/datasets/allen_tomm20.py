"""One field of human stem cells in 3-D: mitochondria (TOMM20), and the cells and nuclei they are in (Allen Institute).

65 x 624 x 924 voxels, segmentations only: the image is the structure's mask, 0 and 255; the label images `cell` and
`nucleus` number the 13 whole cells 1 to 13, the nucleus as its cell. None touches the border. Neither the files nor
their repository say how large a voxel is.

All cells are of one field, so nothing that was trained on some of them can be judged on the others.
"""

import re
from pathlib import Path

from storage.datasets import About, Progress
from storage.download import fetch as fetch_archive
from storage.download import repository
from storage.layout import Layout

ARCHIVE = repository(
    "AllenCell/aics-segmentation",
    "d5bf6a820869e8430e37ab814e664497bcf32c08",
    {r"demo_data/(TOMM20_pipeline_example_(?:cell|nucleus|structure)_segmentation\.tiff)": r"\1"},
)
CONTENT = {"*.tiff": (3, "1cf1e8abbd2294992be5e7e2c9ed46283832e609be5b1dbdb38dc643a6aa9244")}
ABOUT = About(
    title="a field of 13 human stem cells in 3-D; masks of mitochondria (TOMM20), cells and nuclei",
    source=ARCHIVE.source,
    licence="Allen Institute Software License: not commercial, do not redistribute",
    groups=(),
    cite="Chen et al., The Allen Cell and Structure Segmenter (bioRxiv 491035)",
)
_FILE = re.compile(r"TOMM20_pipeline_example_(cell|nucleus|structure)_segmentation\.tiff")


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the three stacks in `cache`/allen_tomm20, or download them there; either way every byte is checked."""
    return fetch_archive(cache / "allen_tomm20", ARCHIVE, CONTENT, progress)


def layout(folder: Path) -> Layout:
    """One image of one channel, TOMM20, with the label images `cell` and `nucleus`."""
    return Layout(describe=_describe, channels=("TOMM20",))


def _describe(file: str) -> dict[str, str] | None:
    match = _FILE.fullmatch(file)
    if match is None:
        return None
    return {"channel": "TOMM20"} if match[1] == "structure" else {"labels": match[1]}
