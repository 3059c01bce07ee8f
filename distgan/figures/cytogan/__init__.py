"""The figures and the table of CytoGAN (Goldsborough et al. 2017), from models, runs and scores of ours."""

from pydantic import Field

from distgan.config.sections import Seed
from distgan.figures.cytogan.curves import along, families
from distgan.figures.cytogan.mechanisms import mechanisms
from distgan.figures.cytogan.samples import samples
from distgan.plots.figure_set import FigureSettings, Part

HEADING = "The figures of CytoGAN from our runs"


class Settings(FigureSettings):
    """What the figures are drawn from; those without their sources are left out.

    models: what to call it -> address or folder.  real: a patch store, of which a row is shown above the samples.
    runs: what to call it -> run.  searches: of `cyto_seeds`, whose trials differ in `method.name` and `run.seed`.
    scores: what to call it -> the folder that `distgan evaluate moa --out` wrote.  kinds: the features of these that
    are shown, by how their names begin.
    """

    models: dict[str, str] = Field(default_factory=dict)
    real: str = ""
    runs: dict[str, str] = Field(default_factory=dict)
    searches: tuple[str, ...] = ()
    scores: dict[str, str] = Field(default_factory=dict)
    kinds: tuple[str, ...] = ("representation", "pooled", "intensity", "classical")
    seed: Seed = 0


PARTS = (
    Part("Samples of every model", ("models",), samples),
    Part("Distance and variety along training", ("runs",), along),
    Part("Variety of families over seeds", ("searches",), families),
    Part("Mechanisms of action", ("scores",), mechanisms),
)
