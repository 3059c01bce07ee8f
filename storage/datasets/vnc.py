"""Neural tissue of a fly larva, serial-section electron microscopy, segmented (Gerhard et al. 2013; Han et al.).

20 sections of 1024 x 1024, 8 bits, 4.6 nm per pixel and 45 to 50 nm thick. Each has four label images, which keep
the values of their files:

    membranes       0 and 1; 1 = membrane, glia and most of the synapses included
    mitochondria    0 to 255 with grey edges (1 = above 127), but 0 and 1 in sections 1, 7 and 18
    synapses        0 and 1, but 0 to 255 in section 2
    labels          the merged labels, one value per CLASSES

so a mask is what exceeds half of the largest value *of its own file*.

Neighbouring sections show the same cells: membranes overlap by 0.35 (0.12 far apart), mitochondria by 0.66 (0.07).
`split` is the published one, 0-9 against 10-19; leave a gap (0-8 against 11-19) to judge anything.
"""

import re
from pathlib import Path

from storage.datasets import About, Progress
from storage.download import fetch as fetch_archive
from storage.download import repository
from storage.layout import Layout

ARCHIVE = repository(
    "unidesigner/groundtruth-drosophila-vnc",
    "4a5f051466d24d8dc1e855ab55658bb1b1dcd6bf",
    {r"(stack1/(?:raw|membranes|mitochondria|synapses|labels)/[^/]+\.(?:tif|png))": r"\1"},
)
CONTENT = {
    "stack1/raw/*": (20, "eee5fa55a80ded7ac1d27cad6963f810887edc1787a2ef53de7c1080e9a2bbce"),
    "stack1/membranes/*": (20, "ed8055e497c79fca0c514fa75d9455fbd1a1ef20591fd0df79a2a7cda9ac12d7"),
    "stack1/mitochondria/*": (20, "ab8d03e6503efdb65317b0645a9cc96848fc2edb4b9c09de22dd496cac93b788"),
    "stack1/synapses/*": (20, "e70e92aa2cf8a382772455f50598a63bb1b2725347d2c40319c0f52c67852ea2"),
    "stack1/labels/*": (20, "f8d437ef598e665509ba152c6167ea815f848ca8aad78cfdcc5edb4233fee6d7"),
}
ABOUT = About(
    title="fly nerve cord in an electron microscope; 20 sections of 1024 x 1024 with membranes and mitochondria",
    source=ARCHIVE.source,
    licence="CC BY-NC-SA 3.0",
    groups=("section",),
    cite="Gerhard et al. 2013, Segmented anisotropic ssTEM dataset of neural tissue, doi 10.6084/m9.figshare.856713",
)
CLASSES = {
    0: "membrane at 0 degrees",
    32: "membrane at 45 degrees",
    64: "membrane at 90 degrees",
    96: "membrane at 135 degrees",
    128: "membrane junction",
    159: "glia or extracellular",
    191: "mitochondrion",
    223: "synapse",
    255: "intracellular",
}
"""Values of the label image `labels`."""
TRAIN_SECTIONS = 10
_FILE = re.compile(r"stack1/(?:raw/(\d\d)\.tif|(membranes|mitochondria|synapses|labels)/(?:labels)?(\d+)\.png)")


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the sections in `cache`/vnc, or download them there; either way every byte is checked."""
    return fetch_archive(cache / "vnc", ARCHIVE, CONTENT, progress)


def layout(folder: Path) -> Layout:
    """One image per section, with its label images; sections are not registered well enough to be one volume."""
    return Layout(describe=_describe, channels=("electrons",), pixel_um=(0.05, 0.0046, 0.0046))


def _describe(file: str) -> dict[str, str | int] | None:
    match = _FILE.fullmatch(file)
    if match is None:
        return None
    section = int(match[1] or match[3])
    found: dict[str, str | int] = {"section": section, "split": "train" if section < TRAIN_SECTIONS else "test"}
    return found | {"labels": match[2]} if match[2] else found
