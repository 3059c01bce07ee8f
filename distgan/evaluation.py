"""What is measured along a run. The first rank does it, between two steps; nothing here changes what is trained.

Names ending alike on both sets: `auc` is of the held-out images, `validation/auc` of those that choose.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from matplotlib.figure import Figure

from distgan.config.sections import Detection
from distgan.data.batches import Feed
from distgan.method import Method, Sample


@dataclass(frozen=True)
class Sets:
    """The images of a run, not augmented, and where the run keeps its files.

    held_out, validation: None where the recipe sets none aside.  samples: images on each side of a comparison.
    group: the metadata column of what is drawn again for intervals; "" is each image by itself.  split: the column
    whose groups were held out.  detection: whole images to look at.
    """

    train: Feed
    held_out: Feed | None
    validation: Feed | None
    sample: Sample
    samples: int
    seed: int
    folder: Path
    group: str = ""
    split: str = ""
    detection: Detection | None = None


class Evaluation(ABC):
    """One way to say how good a method is; always of the same images and the same noise.

    headline: the metric people look at, by which the best checkpoint is chosen.  lower: the metrics, without what is
    before their last "/", of which less is better.
    """

    headline: str
    lower: ClassVar[tuple[str, ...]] = ()

    def __init__(self, sets: Sets) -> None:
        self.sets = sets

    def params(self) -> dict[str, Any]:
        """What there is to know of the measure itself, kept with the settings of the run."""
        return {}

    def before(self, method: Method) -> dict[str, float]:
        """Measured once, before the first step: what is as good as it gets, and what is worth nothing."""
        return {}

    @abstractmethod
    def measure(self, method: Method) -> dict[str, float]:
        """Measured along the run and at its end."""

    def keep(self, images_seen: int) -> None:  # noqa: B027 - most keep numbers alone
        """Write what else was found to the folder of the run, after `measure`."""

    def figures(self, method: Method, images_seen: int) -> dict[str, Figure]:
        """For people to look at, after `measure`."""
        return {}


@dataclass(frozen=True)
class Best:
    """The best evaluation so far.  since: evaluations after it."""

    metric: str
    value: float
    images_seen: int
    since: int = 0

    def followed_by(self, value: float, images_seen: int, *, lower: bool) -> "Best":
        """The better of this and the next evaluation; what is not a number is never better."""
        better = value < self.value if lower else value > self.value
        if better or self.value != self.value:
            return Best(self.metric, value, images_seen)
        return Best(self.metric, self.value, self.images_seen, self.since + 1)
