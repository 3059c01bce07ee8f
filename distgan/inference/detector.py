"""A classifier moved over whole images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distgan.data.batches import to_unit_range
from distgan.families.classifier import Classifier
from distgan.inference import windows
from distgan.method import Method
from distgan.networks.rosette import Critic
from storage.errors import RecipeError

AT_ONCE = 64
"""Windows along y, and along x, that are computed together; of small images as many, of several."""
Way = Literal["exact", "fast", "crops"]
WAYS: tuple[Way, ...] = get_args(Way)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Detector:
    """A classifier moved over images.  positive: number of the class that is looked for.  way: see `windows`.

    card: what is known of the images it learnt from: dtype, channels, value_range.  digest: of its model, if it is one.
    """

    classifier: Classifier
    card: Mapping[str, Any]
    digest: str
    positive: int
    stride: int
    way: Way

    @classmethod
    def of(
        cls, method: Method, card: Mapping[str, Any], digest: str, *, wanted: str = "", stride: int, way: Way = "exact"
    ) -> "Detector":
        """wanted: name of the class, by default the recipe's positive one.

        What is exact is cut out in crops where windows have no features in common.
        Raises RecipeError: the model is no classifier, has no such class, or has no fast way.
        """
        if not isinstance(method, Classifier):
            raise RecipeError("this model finds nothing", f"its method is {method.config.name}", "Give a classifier")
        if wanted and wanted not in method.classes:
            found = f"{wanted!r}; its classes are {', '.join(method.classes)}"
            raise RecipeError("the model does not know that class", found, "Choose one of them")
        positive = method.classes.index(wanted) if wanted else method.positive
        network = method.network("classifier")
        critic = network if isinstance(network, Critic) and network.strided else None
        if way == "fast" and critic is None:
            raise RecipeError(
                "there is no fast way",
                f"the network of {method.config.name} is not made of strided convolutions alone",
                "Take the exact one, which cuts the windows out",
            )
        if way == "exact" and (critic is None or windows.normalises_windows(critic)):
            way = "crops"
        return cls(method, card, digest, positive, stride, way)

    @property
    def size(self) -> int:
        """Edge of a window in pixels."""
        return self.classifier.crop_px

    def probabilities(self, images: NDArray[Any], way: Way | None = None) -> Floats:
        """Of every window.  images: N C H W as stored.  Returns N Y X, Y and X as many as `windows.starts` gives."""
        first = [windows.starts(edge, self.size, self.stride) for edge in images.shape[2:]]
        planes = AT_ONCE**2 // math.prod(min(len(one), AT_ONCE) for one in first)
        y, x = (_groups(one, self.size) for one in first)
        found, device = [], next(self.classifier.parameters()).device
        with torch.inference_mode():
            for row in range(0, len(images), planes):
                part = to_unit_range(images[row : row + planes], self.card["value_range"], device)
                rows = [torch.cat([self._scores(part[:, :, a, b], way or self.way) for b in x], 2) for a in y]
                found.append(torch.cat(rows, 1).cpu().numpy())
        return np.concatenate(found)

    def _scores(self, images: Tensor, way: Way) -> Tensor:
        if way == "crops":
            logits = windows.crops(images, self.size, self.stride, self.classifier.crop_scores)
        else:
            critic = self.classifier.network("classifier")
            assert isinstance(critic, Critic)
            logits = getattr(windows, way)(critic, images, self.size, self.stride)
        return logits.float().softmax(1)[:, self.positive]


def _groups(first: NDArray[np.int64], size: int) -> list[slice]:
    """The pixels of up to AT_ONCE windows each."""
    parts = [first[row : row + AT_ONCE] for row in range(0, len(first), AT_ONCE)]
    return [slice(int(part[0]), int(part[-1]) + size) for part in parts]
