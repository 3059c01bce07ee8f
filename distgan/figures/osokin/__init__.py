"""The figures and tables of Osokin et al. 2017, from models, runs and scores of ours."""

from pydantic import Field

from distgan.config.sections import Seed
from distgan.figures.osokin.along import along
from distgan.figures.osokin.films import films
from distgan.figures.osokin.greens import greens
from distgan.figures.osokin.joint import joint
from distgan.figures.osokin.reconstructions import reconstructions
from distgan.figures.osokin.samples import samples
from distgan.figures.osokin.two_sample import of_classes, of_models
from distgan.plots.figure_set import FigureSettings, Part

HEADING = "The figures of Osokin et al. (2017) from our runs"


class Settings(FigureSettings):
    """What the figures are drawn from; those without their sources are left out.

    models: what to call it -> address or folder.  real: the patch store of the cells.  column: of its proteins.
    runs: what to call it -> run, evaluated by `two_sample`.  held: models that are asked for many greens of one red.
    protein: the one that is shown of these, by default the first.  scores: what to call it -> the folder that
    `distgan evaluate two_sample MODEL --out` wrote; classes: the folder of the same of a store.
    reconstructions: what to call it -> the folder of `distgan reconstruct`.  films: what to call it -> the folder of
    `distgan interpolate --cells --red-only`.  joint: what to call it -> the folder of `distgan evaluate joint_greens`.
    """

    models: dict[str, str] = Field(default_factory=dict)
    real: str = ""
    column: str = "protein"
    runs: dict[str, str] = Field(default_factory=dict)
    held: dict[str, str] = Field(default_factory=dict)
    protein: str = ""
    scores: dict[str, str] = Field(default_factory=dict)
    classes: str = ""
    reconstructions: dict[str, str] = Field(default_factory=dict)
    films: dict[str, str] = Field(default_factory=dict)
    joint: dict[str, str] = Field(default_factory=dict)
    seed: Seed = 0


PARTS = (
    Part("Figure 1: real and made cells of every protein", ("models", "real"), samples),
    Part("Figure 3: the two-sample test along training", ("runs",), along),
    Part("Figure 4: many greens for one red", ("held", "real"), greens),
    Part("Table 1: proteins against each other", ("classes",), of_classes),
    Part("Table 2: models against held-out cells", ("scores",), of_models),
    Part("Figures 5 and 6, table 3: reconstructions", ("reconstructions", "real"), reconstructions),
    Part("Figure 7: through the cell cycle", ("films",), films),
    Part("Do the proteins go together as they should?", ("joint",), joint),
)
