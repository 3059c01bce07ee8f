"""How well a network finds structures in images that it has not learnt from, beside who knows the brightness alone.

    mean_iu             mean over structures of the mean of both IUs of each
    iu/NAME             intersection over union of the structure, over all pixels; iu/not_NAME of what is left
    nll, nll/NAME       mean binary cross-entropy per pixel, in nats
    brightness/...      who knows how often a pixel of such brightness belongs to it in training
    nothing/...         who says of every pixel how often any does

With validation/ before them: of the images by which checkpoints are chosen. Structures may overlap, so each is a
problem of two classes; IUs come from one confusion matrix over all pixels (Han et al., section 5.1). Those who make
pairs of images and labels can score well on their own pairs and be no better for it: such scores are not told here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from distgan.data.batches import Feed
from distgan.evaluation import Evaluation, Sets
from distgan.families.tissue import Segmenting
from distgan.method import Batch, Method
from distgan.plots import image_plots
from storage.errors import RecipeError

BATCH, SHOWN, LEVELS = 16, 16, 64
FAINTEST = 1e-6


@dataclass
class Tally:
    """What was said of pixels so far: by true class and said class, their numbers; and minus the log-likelihood."""

    counts: Tensor = field(default_factory=lambda: torch.zeros(2, 2, dtype=torch.float64))
    nll: float = 0.0

    def add(self, log_odds: Tensor, truth: Tensor) -> None:
        """Count some pixels more.  log_odds: any shape.  truth: of the same, 0 or 1."""
        said, right = (log_odds > 0).flatten(), truth.flatten() > 0
        pairs = torch.bincount(2 * right.long() + said.long(), minlength=4)
        self.counts += pairs.view(2, 2).cpu()
        of_pixels = torch.nn.functional.binary_cross_entropy_with_logits(log_odds, truth.float(), reduction="sum")
        self.nll += float(of_pixels.double())

    def ious(self) -> tuple[float, float]:
        """Of what is left, and of the structure: intersection over union; 1 where there is nothing and nothing said."""
        union = self.counts.sum(0) + self.counts.sum(1) - self.counts.diagonal()
        found = torch.where(union > 0, self.counts.diagonal() / union.clamp(min=1), 1.0)
        return float(found[0]), float(found[1])

    def mean_nll(self) -> float:
        """Per pixel, in nats."""
        return self.nll / float(self.counts.sum())


def scores(tallies: Mapping[str, Tally]) -> dict[str, float]:
    """The metrics of this file, of the tally of each structure."""
    found: dict[str, float] = {}
    for name, tally in tallies.items():
        rest, structure = tally.ious()
        found |= {f"iu/{name}": structure, f"iu/not_{name}": rest, f"nll/{name}": tally.mean_nll()}
    means = [sum(tally.ious()) / 2 for tally in tallies.values()]
    nlls = [tally.mean_nll() for tally in tallies.values()]
    return {"mean_iu": float(np.mean(means)), "nll": float(np.mean(nlls)), **found}


class SegmentationEvaluation(Evaluation):
    """Measures a reader of labels on all that is held out.

    Raises RecipeError: nothing is held out, or no labels come along.
    """

    headline = "mean_iu"
    lower = ("nll",)

    def __init__(self, sets: Sets) -> None:
        super().__init__(sets)
        self.feeds = {prefix: one for prefix, one in (("", sets.held_out), ("validation/", sets.validation)) if one}
        self.names = sets.sample.labels
        if not self.feeds or not self.names:
            raise RecipeError(
                "a segmentation is judged on labelled images it has not learnt from",
                "no labels come along" if self.feeds else "nothing is held out",
                "Take a method with structures" if self.feeds else "Set data.split, for example by the section",
            )
        if sets.validation:
            self.headline = "validation/mean_iu"

    def before(self, method: Method) -> dict[str, float]:
        """Those who know nothing, or the brightness alone, and the network with its first weights."""
        found = self.measure(method)
        table = self._by_brightness()
        for prefix, feed in self.feeds.items():
            for who, counts in {"brightness": table, "nothing": table.sum(1, keepdim=True)}.items():
                odds = torch.logit((counts / counts.sum(2, keepdim=True))[..., 1], FAINTEST)
                said = self._tallied(feed, partial(_looked_up, odds))
                found |= {f"{prefix}{who}/{name}": value for name, value in scores(said).items()}
        return found

    def measure(self, method: Method) -> dict[str, float]:
        """Of each set.  Raises RecipeError: the method finds no structures."""
        one = segmenting(method)
        found: dict[str, float] = {}
        for prefix, feed in self.feeds.items():
            said = scores(self._tallied(feed, lambda batch: one.segment(batch.images)))
            found |= {f"{prefix}{name}": value for name, value in said.items()}
        return found

    def figures(self, method: Method, images_seen: int) -> dict[str, Figure]:
        """Images, their labels, and what was found in them."""
        feed = next(iter(self.feeds.values()))
        random = np.random.Generator(np.random.Philox(key=[self.sets.seed, 9]))
        batch = feed.rows(np.sort(random.permutation(len(feed.images))[:SHOWN]))
        truth = torch.stack([batch.labels[name] > 0 for name in self.names], 1).float()
        found = segmenting(method).segment(batch.images).sigmoid()
        panels = {
            "held out": batch.images,
            "labels: " + ", ".join(self.names): truth * 2 - 1,
            f"found, {images_seen:,} images seen": found * 2 - 1,
        }
        shown = {title: images.cpu().numpy() for title, images in panels.items()}
        return {"segmentation": image_plots.side_by_side(shown, columns=4)}

    def _tallied(self, feed: Feed, log_odds: Callable[[Batch], Tensor]) -> dict[str, Tally]:
        tallies = {name: Tally() for name in self.names}
        for batch in _batches(feed):
            said = log_odds(batch)
            for number, (name, tally) in enumerate(tallies.items()):
                tally.add(said[:, number], (batch.labels[name] > 0).float())
        return tallies

    def _by_brightness(self) -> Tensor:
        """How many training pixels of each level are not in and in each structure: L levels 2, one more of each."""
        counts = torch.ones(len(self.names), LEVELS, 2, dtype=torch.float64)
        for batch in _batches(self.sets.train):
            level = _levels(batch.images)
            for number, name in enumerate(self.names):
                both = 2 * level + (batch.labels[name] > 0)
                counts[number] += torch.bincount(both.flatten(), minlength=2 * LEVELS).view(LEVELS, 2).cpu()
        return counts


def segmenting(method: Method) -> Segmenting:
    """The same.  Raises RecipeError: it finds no structures."""
    if isinstance(method, Segmenting):
        return method
    raise RecipeError(
        f"{method.config.name} finds no structures",
        "evaluate.metrics names segmentation",
        "Take segmentation, unsupervised_gan or dsgan",
    )


def _batches(feed: Feed) -> Iterator[Batch]:
    rows = np.arange(len(feed.images))
    for start in range(0, len(rows), BATCH):
        yield feed.rows(rows[start : start + BATCH])


def _levels(images: Tensor) -> Tensor:
    """Brightness of each pixel, the mean over channels, as one of so many levels: N H W."""
    return ((images.mean(1) + 1) * (LEVELS / 2)).long().clamp(0, LEVELS - 1)


def _looked_up(odds: Tensor, batch: Batch) -> Tensor:
    """Log-odds by level, L levels or L 1 -> those of each pixel, N L H W."""
    levels = _levels(batch.images).clamp(max=odds.shape[1] - 1)
    return odds.float().to(levels.device)[:, levels].movedim(0, 1)
