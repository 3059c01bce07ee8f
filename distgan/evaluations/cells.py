"""How well an integrated cell makes cells again that it was not trained on, and what it says of their structure.

    bce, psnr                   of the light in [0, 1] of the channels it makes, in all and by channel
    bce_mean, psnr_mean         of the mean training image instead                            (the naive baseline)
    normality                   mean Kolmogorov-Smirnov distance of each dimension of the codes from N(0, 1)
    accuracy, balanced_accuracy of the structure's class; `majority/` and `intensity/` are who has not looked, and a
                                logistic regression on mean and deviation of each channel
    predicted/correlation       of a structure with that of the likeliest code, z^s = 0, in its cell (algorithm 3)
    mean/correlation            of a structure with the mean training image of its class      (the naive baseline)

All of held-out images, or of training images if none are held out; `validation/` of those that choose.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from scipy.stats import kstest
from torch import Tensor

from distgan.assessment.cell_measures import as_cells, correlations, parts
from distgan.data.batches import Feed
from distgan.evaluation import Evaluation, Sets
from distgan.evaluations.reconstruction import psnr
from distgan.families.cells import CellMethod
from distgan.method import Batch, Method
from distgan.metrics.baselines import logistic, majority
from distgan.metrics.classification import Floats, accuracy, balanced_accuracy, confusion
from distgan.plots import image_plots

SHOWN = 16


@dataclass(frozen=True)
class Seen:
    """What a method makes of images.  again: N C ....  codes: N Z.  kinds: N K or N 0.  predicted: N C ..., or none."""

    again: Tensor
    codes: Tensor
    kinds: Tensor
    predicted: Tensor | None


class CellsEvaluation(Evaluation):
    """Compares cells with what a method makes of them."""

    headline = "psnr"
    lower = ("bce", "bce_mean", "normality")

    def __init__(self, sets: Sets) -> None:
        super().__init__(sets)
        self.train = self._some(sets.train)
        self.batches = {"": self._some(sets.held_out or sets.train)}
        if sets.validation:
            self.batches["validation/"] = self._some(sets.validation)
        self.title = "held out" if sets.held_out else "training"

    def before(self, method: Method) -> dict[str, float]:
        """What the untrained networks do, and those who have not looked."""
        cells, found = as_cells(method), self.measure(method)
        mean = self.train.images.mean(0, keepdim=True)
        for prefix, batch in self.batches.items():
            everywhere = mean.expand_as(batch.images)
            errors = _errors(cells, batch.images, everywhere)
            found |= {f"{prefix}{name}_mean": errors[name] for name in ("bce", "psnr")}
            if cells.classes:
                of_class, own = _truth(cells, self.train), _truth(cells, batch)
                means = [self.train.images[of_class == one].mean(0) for one in range(len(cells.classes))]
                known = np.flatnonzero(np.isin(own, of_class))
                guess = torch.stack([means[own[row]] for row in known])
                found[f"{prefix}mean/correlation"] = correlations(cells, batch.images[known], guess).mean().item()
                features, others = intensity(cells, self.train), intensity(cells, batch)
                count = len(cells.classes)
                found |= _right(own, majority(of_class, count, len(own)), f"{prefix}majority/")
                found |= _right(own, logistic(features, of_class, others, count), f"{prefix}intensity/")
        return found

    def measure(self, method: Method) -> dict[str, float]:
        """Raises RecipeError: the method is no integrated cell."""
        cells, found = as_cells(method), dict[str, float]()
        for prefix, batch in self.batches.items():
            seen = _seen(cells, batch)
            found |= {f"{prefix}{name}": value for name, value in _errors(cells, batch.images, seen.again).items()}
            found[f"{prefix}normality"] = normality(seen.codes.double().cpu().numpy())
            if seen.kinds.shape[1]:
                found |= _right(_truth(cells, batch), seen.kinds.double().softmax(1).cpu().numpy(), prefix)
            if seen.predicted is not None:
                found[f"{prefix}predicted/correlation"] = (
                    correlations(cells, batch.images, seen.predicted).mean().item()
                )
        return found

    def figures(self, method: Method, images_seen: int) -> dict[str, Figure]:
        """Cells, what the method makes of them, and structures predicted from their shapes."""
        cells, batch = as_cells(method), self.batches[""].part(slice(SHOWN))
        seen = _seen(cells, batch)
        panels = {f"real, {self.title}": cells.light(batch.images)}
        panels[f"made again, {images_seen:,} images seen"] = cells.light(seen.again)
        if seen.predicted is not None:
            panels["likeliest structure in its shape"] = cells.light(seen.predicted)
        flat = {
            title: 2 * light.flatten(2, -3).amax(2) - 1 if light.ndim > 4 else 2 * light - 1
            for title, light in panels.items()
        }
        return {"cells": image_plots.side_by_side({title: one.cpu().numpy() for title, one in flat.items()}, 4)}

    def _some(self, feed: Feed) -> Batch:
        random = np.random.Generator(np.random.Philox(key=[self.sets.seed, 2]))
        return feed.rows(np.sort(random.permutation(len(feed.images))[: self.sets.samples]))


def normality(codes: Floats) -> float:
    """Mean over the dimensions of codes N Z of the distance of their distribution from N(0, 1), in [0, 1]."""
    return float(np.mean([kstest(values, "norm").statistic for values in codes.T]))


@torch.no_grad()
def _seen(cells: CellMethod, batch: Batch) -> Seen:
    found: list[list[Tensor]] = []
    for part in parts(batch):
        codes = cells.codes(part)
        predicted = [cells.decoded(torch.zeros_like(codes), part)] if cells.classes else []
        found.append([cells.reconstruction(part), codes, cells.class_scores(part.images), *predicted])
    again, codes, kinds, *predicted = (torch.cat(values) for values in zip(*found, strict=True))
    return Seen(again, codes, kinds, predicted[0] if predicted else None)


def _errors(cells: CellMethod, images: Tensor, again: Tensor) -> dict[str, float]:
    names = cells.sample.channels or tuple(map(str, range(cells.sample.shape[0])))
    light, made = cells.light(images), cells.light(again)
    pixels = F.binary_cross_entropy(made.clamp(1e-6, 1 - 1e-6), light, reduction="none").transpose(0, 1).flatten(1)
    squares = 4 * (made - light).square().transpose(0, 1).flatten(1)
    found = {"bce": pixels.mean().item(), "psnr": psnr(squares.mean().item())}
    for number, channel in enumerate(cells.made):
        found[f"{names[channel]}/bce"] = pixels[number].mean().item()
        found[f"{names[channel]}/psnr"] = psnr(squares[number].mean().item())
    return found


def _right(truth: np.ndarray[tuple[int], np.dtype[np.int64]], probabilities: Floats, prefix: str) -> dict[str, float]:
    matrix = confusion(truth, probabilities)
    return {
        f"{prefix}accuracy": float(accuracy(matrix)),
        f"{prefix}balanced_accuracy": float(balanced_accuracy(matrix)),
    }


def _truth(cells: CellMethod, batch: Batch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return batch.columns[cells.config.column].cpu().numpy().astype(np.int64)


def intensity(cells: CellMethod, batch: Batch) -> Floats:
    """Mean and deviation of each channel that is made: N 2 C."""
    light = cells.light(batch.images).flatten(2).double()
    return torch.cat([light.mean(2), light.std(2)], 1).cpu().numpy()
