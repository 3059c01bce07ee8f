"""The figures and tables of Han et al. 2018 from models, runs and scores of ours."""

from pydantic import Field

from distgan.config.sections import Seed
from distgan.figures.han.numbers import (
    gradients,
    noise_distances,
    people,
    real_or_made,
    segmentation,
    shape_maps,
    statistics,
    support_sizes,
)
from distgan.figures.han.pictures import ablations, completions, pairs, planes, single, translations
from distgan.plots.figure_set import FigureSettings, Part

HEADING = "The figures of Han et al. from our runs"


class Settings(FigureSettings):
    """What the figures are drawn from; those without their sources are left out.

    Tables of what to call it -> address of a model, folder or name of a run:  models: that make pairs.  labels: the
    label generator and what it is compared with.  translators: that make images of labels.  completions: that make
    mitochondria of membranes.  scores, completion_scores: folders that `distgan evaluate tissue --out` wrote.  runs:
    with method.gradient_shares.  studies: folders that `distgan study score --out` wrote, "single cells" and
    "full images".
    real: a patch store with the label images.  plane, edited: of `distgan sample --size` and of `distgan edit`.
    """

    real: str = ""
    models: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    translators: dict[str, str] = Field(default_factory=dict)
    completions: dict[str, str] = Field(default_factory=dict)
    scores: dict[str, str] = Field(default_factory=dict)
    completion_scores: dict[str, str] = Field(default_factory=dict)
    runs: dict[str, str] = Field(default_factory=dict)
    studies: dict[str, dict[str, str]] = Field(default_factory=dict)
    plane: str = ""
    edited: str = ""
    seed: Seed = 0


PARTS = (
    Part("Figures 1 and 6: pairs of labels and images", ("models", "real"), pairs),
    Part("Figures 3 and 6: a large sample, and its labels edited", ("plane",), planes),
    Part("Figures 4 and 11: label generators", ("labels", "real"), ablations),
    Part("Figure 5: images of real labels", ("translators", "real"), translations),
    Part("Figure 7: single cells", ("models", "real"), single),
    Part("Table 1: global statistics", ("scores",), statistics),
    Part("Figure 8: cells called real by a machine", ("scores",), real_or_made),
    Part("Figure 9: images called real by people", ("scores",), people),
    Part("Figure 10: map of shape features", ("scores",), shape_maps),
    Part("Figure 12 and table 2: labels read off images", ("scores",), segmentation),
    Part("Figure 14: mitochondria of the same membranes", ("completions", "real"), completions),
    Part("Figure 14: how different they are", ("completion_scores",), noise_distances),
    Part("Figure 15: support size", ("scores",), support_sizes),
    Part("Figure 16: gradient along labels", ("runs",), gradients),
)
