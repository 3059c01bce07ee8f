"""The figures of Wang et al., Cellular structure image classification with small targeted training samples.

2 and 4 are drawings of the network and the workflow; all others are drawn here, from whatever images and classes.
"""

from pydantic import Field, JsonValue

from distgan.config.sections import Section, Seed
from distgan.figures.wang.detection import bands, heatmaps
from distgan.figures.wang.images import denoising, interpolation, samples
from distgan.figures.wang.labels import fewer_labels, training
from distgan.figures.wang.responses import activations, feature_maps
from distgan.figures.wang.weights import dense_weights, filters
from distgan.plots.figure_set import FigureSettings, Part

HEADING = "The figures of Wang et al. from our runs"


class Raw(Section):
    """Figure 1.  store: images as the camera left them.  operations: as of `[prepare]`.  image: row of its table."""

    store: str
    operations: tuple[dict[str, JsonValue], ...]
    image: int = Field(0, ge=0)


class Classifiers(Section):
    """Models of transfer_classifier: from scratch and from the critic, with few labels and with all of them."""

    scratch_few: str
    transfer_few: str
    scratch_all: str
    transfer_all: str


class Settings(FigureSettings):
    """What the figures are drawn from; those without their sources are left out.  Models are addresses or folders.

    gan: the model whose critic was transferred.  gan_run: of its training.  pool, labelled: patch stores that the GAN
    and the classifiers were trained on.  sweep: of `[fractions]`.  shares: of the labels, all and few, in figure 9.
    detector: the model that detected.  detected: the folder that `distgan detect` wrote, of the store `images`.
    truth: a table of known boxes there.
    """

    raw: Raw | None = None
    gan: str = ""
    gan_run: str = ""
    pool: str = ""
    labelled: str = ""
    classifiers: Classifiers | None = None
    sweep: str = ""
    shares: tuple[float, float] = (1.0, 0.2)
    detector: str = ""
    detected: str = ""
    images: str = ""
    truth: str = ""
    seed: Seed = 0


_NETWORKS = ("gan", "classifiers", "labelled")
_DETECTED = ("detector", "detected", "images")
PARTS = (
    Part("Figure 1: before and after denoising", ("raw",), denoising),
    Part("Figure 3: samples, real patches and losses", ("gan", "gan_run", "pool"), samples),
    Part("Figure 5: filters of the first layer", _NETWORKS, filters),
    Part("Figure 6: weights of the first dense layer", _NETWORKS, dense_weights),
    Part("Figure 7: feature maps", _NETWORKS, feature_maps),
    Part("Figure 8: mean activations", _NETWORKS, activations),
    Part("Figure 9: all labels and few", ("sweep",), training),
    Part("Figure 10: ever fewer labels", ("sweep",), fewer_labels),
    Part("Figure 11: detection and heat maps", _DETECTED, heatmaps),
    Part("Figure 12: hits of high and of moderate probability", _DETECTED, bands),
    Part("Interpolation between codes", ("gan",), interpolation),
)
