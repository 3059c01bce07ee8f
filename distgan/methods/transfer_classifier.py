"""A GAN's critic turned into a classifier (Wang et al., section 2.4): few labels, features learnt without any.

The network is the critic with a score for each class. `[init]` puts the critic's weights in:

    [init]
    classifier = { model = "models:/rosette_wgan_gp@candidate", network = "critic" }

Without it the same network learns from scratch, which is what transfer is compared with; and so do networks of other
structures (`downsample`, `depth`), which no critic has.

Presets:
    paper      the published code. What it does and the paper does not say: negative slopes of 0.01, where the critic
               has 0.2; batch normalisation after the first dense layer, where the critic has layer normalisation, and
               of the logits, too; of the critic's normalisation only the offsets are taken; the last state is
               reported, and there is none to choose by. What differs here: contrast is changed about black instead
               of the image's mean, and changed images are not cut to whole bytes.
    corrected  the critic as it is, with all its normalisation; every class weighs as much as another; an average of
               the weights is judged. Give it [data.validation], and evaluate.patience.
    small      `corrected`, faster, for short runs; the critic of wgan_gp's `small` fits it
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from distgan.families.classifier import Classifier, ClassifierConfig
from distgan.losses import weight_decay
from distgan.method import Normalisation, Sample, Step, Turn
from distgan.networks.rosette import Critic, Downsample
from storage.errors import RecipeError

FROZEN = {"all": (), "head": ("convolutions",), "linear": ("convolutions", "dense")}
"""Parts of the network that stay as they are, by `tuning`."""
STATISTICS = tuple(
    f"convolutions.{layer}.{kind}"
    for layer in range(1, 15, 3)
    for kind in ("running_mean", "running_var", "num_batches_tracked")
)


class TransferClassifierConfig(ClassifierConfig):
    """width, norm: of the critic that is transferred.  dense_norm, slope, score_norm, downsample, depth, skip: see the
    network.

    dropout: part of the dense layer's numbers that a step leaves out.  tuning: what learns: all, the dense layers
    ("head"), or the last of them alone ("linear"); what does not is not normalised by the batch either.
    rate_decay: each layer learns at this part of the rate of the one after it.  anew: parts of the network that are not
    taken from the model of [init].  decay: weight of half the squared norm of the weights, but the last layer's.
    """

    width: int = Field(32, ge=4, le=256)
    norm: Normalisation = "layer"
    norm_momentum: float = Field(0.1, gt=0, lt=1)
    dense_norm: Normalisation | None = None
    score_norm: bool = False
    slope: float = Field(0.2, ge=0, le=1)
    downsample: Downsample = "stride"
    depth: int = Field(1, ge=1, le=8)
    skip: bool = False
    dropout: float = Field(0.5, ge=0, lt=1)
    tuning: Literal["all", "head", "linear"] = "all"
    rate_decay: float = Field(1.0, gt=0, le=1)
    anew: tuple[str, ...] = ("score", "attention")
    decay: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _check_skip(self) -> Self:
        if self.skip and self.depth == 1:
            raise ValueError("skip leads around the convolutions that keep the size: set depth to 2 or more")
        return self


_MEASURED: Mapping[str, Any] = {"metrics": ["classification"]}
_CORRECTED: Mapping[str, Any] = {
    "method": {"class_weights": "balanced"},
    "optimizer": {"lr": 1e-4},
    "augment": {"flip": True, "quarter_turns": True, "gain": 0.25, "offset": 0.1},
    "evaluate": _MEASURED,
}
_PAPER: Mapping[str, Any] = {
    "method": {
        "norm": "batch",
        "norm_momentum": 0.001,
        "dense_norm": "batch",
        "score_norm": True,
        "slope": 0.01,
        "anew": ["score", "attention", "dense.2", *STATISTICS],
    },
    "optimizer": {"lr": 1e-5},
    "augment": {"flip": True, "gain": 0.5, "offset": 32 / 255},
    "ema": {"half_life_images": 0},
    "evaluate": _MEASURED,
}


class TransferClassifier(Classifier):
    """Images of 32, 64 or 128 pixels -> logits of their classes."""

    Config: ClassVar[type[TransferClassifierConfig]] = TransferClassifierConfig
    networks = ("classifier",)
    averaged = ("classifier",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": _CORRECTED,
        "corrected": _CORRECTED,
        "small": {**_CORRECTED, "optimizer": {"lr": 3e-4}},
        "paper": _PAPER,
    }

    def __init__(self, config: TransferClassifierConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.anew = config.anew
        self.classifier = self.make_network()
        for part in FROZEN[config.tuning]:
            self.classifier.get_submodule(part).requires_grad_(False)
        self.train()

    def make_network(self) -> Critic:
        """The network, with its first weights."""
        height, width = self.sample.shape[-2:]
        if height != width or len(self.sample.shape) != 3:
            raise RecipeError(
                f"{self.config.name} needs square images",
                f"{' x '.join(map(str, self.sample.shape[1:]))} pixels",
                "Prepare square patches, or take bag_classifier",
            )
        return Critic(self.sample.shape[0], height, **self.network_keys())

    def network_keys(self) -> dict[str, Any]:
        """What the recipe says of the network."""
        config = self.config
        return {
            "width": config.width,
            "norm": config.norm,
            "momentum": config.norm_momentum,
            "outputs": len(self.classes),
            "slope": config.slope,
            "dense_norm": config.dense_norm,
            "score_norm": config.score_norm,
            "downsample": config.downsample,
            "depth": config.depth,
            "skip": config.skip,
        }

    def train(self, mode: bool = True) -> "TransferClassifier":
        """As of any module; parts that do not learn are always used as they are."""
        super().train(mode)
        for part in FROZEN[self.config.tuning]:
            self.classifier.get_submodule(part).eval()
        return self

    def turns(self) -> tuple[Turn, ...]:
        """One network, one loss."""
        return (Turn("classifier", ("classifier",), self.loss),)

    def rate(self, network: str, weight: str) -> float:
        """`rate_decay` once for each layer between this one and the scores."""
        part, layer, *_ = weight.split(".")
        last = len(self.classifier.convolutions) // 3
        above = {"dense": 1, "convolutions": 1 + last - int(layer) // 3} if layer.isdigit() else {}
        return self.config.rate_decay ** above.get(part, 0)

    def loss(self, step: Step) -> Mapping[str, Tensor]:
        """Cross-entropy of the labels."""
        features = dropped(step, self.classifier.features(step.batch.images), self.config.dropout)
        return self.decayed(self.terms(step.batch.columns[self.config.column], self.classifier.score(features)))

    def decayed(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms, with that of the weights."""
        if self.config.decay:
            terms["decay"] = self.config.decay * weight_decay(self.classifier, self.classifier.score)
        return terms

    def scores(self, images: Tensor) -> Tensor:
        """images: N C S S in [-1, 1].  Returns N K."""
        return self.classifier(images)

    def crop_scores(self, crops: Tensor) -> Tensor:
        """The same: an image is one crop."""
        return self.classifier(crops)


def dropped(step: Step, features: Tensor, part: float) -> Tensor:
    """Dropout (Srivastava et al. 2014) by the step's own noise.  features: N D.  part: of them, in [0, 1)."""
    if not part:
        return features
    return features * (step.uniform("dropout", *features.shape) >= part) / (1 - part)
