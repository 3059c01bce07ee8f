"""A classifier for labels that say of a whole image that something is in it, and not where.

Each image is a bag of overlapping windows; the critic of a GAN of such windows gives each window its features (see
`transfer_classifier`). A bag is as its most positive window says (pooling = "max"), or as the mean of its windows'
features, each counting as much as it is attended to (pooling = "attention"; Ilse et al. 2018). Either way it learns
to score a single window (`crop_scores`), which is what detection needs.

Presets: those of `transfer_classifier`.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from distgan.method import Step
from distgan.methods.transfer_classifier import TransferClassifier, TransferClassifierConfig, dropped
from distgan.networks.bags import BagCritic, strongest, windows
from storage.errors import RecipeError


class BagClassifierConfig(TransferClassifierConfig):
    """window: their edge.  stride: from one to the next; the last ends where the image ends."""

    window: Literal[32, 64] = 32
    stride: int = Field(16, ge=1)
    pooling: Literal["max", "attention"] = "attention"
    attention_width: int = Field(64, ge=4, le=1024)


class BagClassifier(TransferClassifier):
    """Images of any size -> logits of their classes, by their windows."""

    Config: ClassVar[type[BagClassifierConfig]] = BagClassifierConfig
    classifier: BagCritic

    @property
    def crop_px(self) -> int:
        """Edge of a window."""
        return self.config.window

    def make_network(self) -> BagCritic:
        """The network of a window, with its first weights."""
        if len(self.sample.shape) != 3 or min(self.sample.shape[1:]) < self.config.window:
            raise RecipeError(
                "the windows do not fit into the images",
                f"windows of {self.config.window}, and images of {' x '.join(map(str, self.sample.shape[1:]))}",
                "Lower method.window, or prepare larger patches",
            )
        attention_width = self.config.attention_width if self.config.pooling == "attention" else 0
        return BagCritic(self.sample.shape[0], self.config.window, attention_width, **self.network_keys())

    def loss(self, step: Step) -> Mapping[str, Tensor]:
        """Cross-entropy of the labels of the bags."""
        bags = windows(step.batch.images, self.config.window, self.config.stride)
        features = dropped(step, self.classifier.features(bags.flatten(0, 1)), self.config.dropout)
        logits = self._pooled(features.unflatten(0, bags.shape[:2]))
        return self.decayed(self.terms(step.batch.columns[self.config.column], logits))

    def scores(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns N K."""
        bags = windows(images, self.config.window, self.config.stride)
        return self._pooled(self.classifier.features(bags.flatten(0, 1)).unflatten(0, bags.shape[:2]))

    def _pooled(self, features: Tensor) -> Tensor:
        """features: N B D.  Returns N K."""
        if self.config.pooling == "max":
            logits = self.classifier.score(features.flatten(0, 1)).unflatten(0, features.shape[:2])
            return strongest(logits, self.positive)
        attention = self.classifier.attention(features)
        return self.classifier.score((attention[..., None] * features).sum(1))
