"""What every classifier has in common: classes out of a metadata column, one of them the positive one."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor

from distgan.method import Method, MethodConfig, Sample
from storage.errors import RecipeError


class ClassifierConfig(MethodConfig):
    """column: the metadata column of the classes.  positive: the class of which precision and recall are told.

    class_weights: of the classes in the loss; "balanced" is inversely proportional to how many train, and a class
    that a table does not name weighs 1.  smoothing: part of the label that is shared among all classes.
    """

    column: str = "label"
    positive: str
    class_weights: Literal["none", "balanced"] | dict[str, PositiveFloat] = "none"
    smoothing: float = Field(0.0, ge=0, lt=1)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of the classes."""
        return (self.column,)


class Classifier(Method):
    """A method that tells K classes apart.

    classes: their names in order.

    Raises RecipeError: the column has fewer than two classes, or none that the recipe names.
    """

    config: Any
    class_weight: Tensor

    def __init__(self, config: ClassifierConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.classes = sample.classes.get(config.column, ())
        if len(self.classes) < 2:
            raise RecipeError(
                f"there are no two classes in the column {config.column!r}",
                f"it has {', '.join(self.classes) or 'numbers, or nothing'}",
                "Set method.column to a column of names, and let data.subset leave two of them",
            )
        named = [config.positive, *(config.class_weights if isinstance(config.class_weights, dict) else ())]
        if unknown := [name for name in named if name not in self.classes]:
            raise RecipeError(
                f"{unknown[0]!r} is no class of the column {config.column!r}",
                f"its classes are {', '.join(self.classes)}",
                "Mend method.positive or method.class_weights",
            )
        weights = torch.tensor(_class_weights(config, self.classes, sample.counts.get(config.column, ())))
        self.register_buffer("class_weight", weights, persistent=False)

    @property
    def positive(self) -> int:
        """The number of the positive class."""
        return self.classes.index(self.config.positive)

    @property
    def crop_px(self) -> int:
        """Edge of the square crops that `crop_scores` takes."""
        return self.sample.shape[-1]

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1], as those that train.  Returns N K: logits of the classes, before softmax."""

    @abstractmethod
    def crop_scores(self, crops: Tensor) -> Tensor:
        """crops: N C S S in [-1, 1], S = `crop_px`.  Returns N K: logits of the classes in each."""

    def terms(self, labels: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """The cross-entropy that is lowered, and in what share of the batch the likeliest class is the right one.

        A sample's weight does not depend on who else is in its batch, so that the mean over shards is that over
        the batch.
        """
        losses = F.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=self.config.smoothing)
        right = (logits.argmax(1) == labels).float()
        return {
            "cross_entropy": (losses * self.class_weight[labels]).mean(),
            "accuracy/training": right.mean(),
        }


def _class_weights(config: ClassifierConfig, classes: tuple[str, ...], counts: tuple[int, ...]) -> list[float]:
    """Of each class; balanced ones are 1 on average over the training samples."""
    given: Mapping[str, float] = config.class_weights if isinstance(config.class_weights, dict) else {}
    if config.class_weights == "balanced" and counts:
        present = sum(count > 0 for count in counts)
        return [sum(counts) / (present * max(count, 1)) for count in counts]
    return [given.get(name, 1.0) for name in classes]
