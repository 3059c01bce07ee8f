"""HeLa cells after knock-down of a gene by siRNA: actin, tubulin and DNA (Fuchs et al. 2010; R package imageHTS).

12 wells, 6 positions on each of 2 replicate plates, one JPEG of 510 x 1024 per stain; the size of a pixel is not
given. UBC and RLUC are controls (`content`; UBC kills, RLUC does nothing), AAK1 and PLK3 samples. A position has the
same siRNA on both plates: to judge on new genes split by `gene`, on a new replicate by `plate`. Killed wells have
so few cells that counting them tells the classes.
"""

import re
from pathlib import Path

from storage.csv_table import read_table
from storage.datasets import About, Progress
from storage.download import fetch as fetch_archive
from storage.download import repository
from storage.layout import Layout, Value

ARCHIVE = repository(
    "bioc/imageHTS",
    "7820fbd971532513454ea2dda7142cf312a34ee2",
    {
        r"inst/submorph/(source/PK-\w+-pl1/Well-\w+/\w+\.jpeg)": r"\1",
        r"inst/submorph/(conf/\w+\.txt|data/profiles\.tab)": r"\1",
    },
)
CONTENT = {
    "source/*/*/*.jpeg": (36, "fc6ab02143ab084a4be5e0dc759a427a657af1a0292168e3e6028b259e73b58e"),
    "conf/*.txt": (8, "4aa6ab79da162e51deefaa5e7fe03f2b421afb0d644fec28f05f7026568c19f7"),
    "data/profiles.tab": (1, "df972f3640af740c318a8eef3f352b0f23f12f436a654c6139f722ab7a858e21"),
}
ABOUT = About(
    title="HeLa cells after siRNA; 12 wells on two replicate plates; actin, tubulin, DNA",
    source=ARCHIVE.source,
    licence="LGPL-2.1",
    groups=("plate", "gene", "well"),
    cite="Fuchs et al. 2010, Mol Syst Biol 6:370; Pau et al., imageHTS",
)
CHANNELS = {"Tritc": "actin", "FITC": "tubulin", "Hoechst": "DNA"}
"""File name of a stain -> what it shows, in the order of the channels."""
_FILE = re.compile(r"source/(PK-(\d+)B-pl1)/Well-([A-P])0(\d\d)/(Tritc|FITC|Hoechst)\.jpeg")


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the images in `cache`/hela_sirna, or download them there; either way every byte is checked."""
    return fetch_archive(cache / "hela_sirna", ARCHIVE, CONTENT, progress)


def layout(folder: Path) -> Layout:
    """One field per well: plate, replicate, well, content and gene, the latter two from conf/annotation.txt."""
    annotation = read_table(folder / "conf" / "annotation.txt", ("Well", "GeneID", "Content"), delimiter="\t")
    known = {row["Well"]: {"content": row["Content"], "gene": row["GeneID"]} for row in annotation}

    def describe(file: str) -> dict[str, Value] | None:
        match = _FILE.fullmatch(file)
        if match is None:
            return None
        plate, replicate, row, column, stain = match.groups()
        well = f"{row}{column}"
        found: dict[str, Value] = {"plate": plate, "replicate": int(replicate), "well": well}
        return {**found, **known.get(well, {}), "channel": CHANNELS[stain]}

    return Layout(describe=describe, channels=tuple(CHANNELS.values()))
