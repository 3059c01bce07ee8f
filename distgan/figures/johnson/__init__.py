"""The figures and tables of Johnson et al. 2017, the integrated cell, from models, runs and scores of ours."""

from pydantic import Field

from distgan.config.sections import Seed
from distgan.figures.johnson.along import along
from distgan.figures.johnson.latent import latent
from distgan.figures.johnson.structures import predicted, reconstructed
from distgan.figures.johnson.tables import classes, dependence, together
from distgan.figures.johnson.weights import weights
from distgan.plots.figure_set import FigureSettings, Part

HEADING = "The figures of Johnson et al. (2017) from our runs"


class Settings(FigureSettings):
    """What the figures are drawn from; those without their sources are left out.

    shapes: a model of phase 1, address or folder.  structures: what to call it -> a model of phase 2, or a conditional
    beta-VAE.  real: the patch store of the cells.  runs: what to call it -> run.  scores: what to call it -> the folder
    that `distgan evaluate cells --out` wrote; dependence: the same of `distgan evaluate dependence`.  search: over
    `method.code_weight` and `method.image_weight`, as `cells_gamma` is.
    """

    shapes: str = ""
    structures: dict[str, str] = Field(default_factory=dict)
    real: str = ""
    runs: dict[str, str] = Field(default_factory=dict)
    scores: dict[str, str] = Field(default_factory=dict)
    dependence: dict[str, str] = Field(default_factory=dict)
    search: str = ""
    seed: Seed = 0


PARTS = (
    Part("Figures 2, 3 and S6: every structure in one cell", ("structures", "real"), predicted),
    Part("Figures S1 and S2: cells made again", ("structures", "real"), reconstructed),
    Part("Figure S3: training curves", ("runs",), along),
    Part("Figures S4 and S5: latent spaces", ("real",), latent),
    Part("Tables S8 and S9: structures, and what they are taken for", ("scores",), classes),
    Part("Where structures lie", ("scores",), together),
    Part("What a structure depends on", ("dependence",), dependence),
    Part("What the critics' weights do", ("search",), weights),
)
