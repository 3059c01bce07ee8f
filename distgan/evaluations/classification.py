"""How well a classifier tells the classes of images that it has not learnt from, beside those who have not looked.

    auc ...              of the held-out images, with intervals auc_low, auc_high over groups
    validation/auc ...   of those by which settings and checkpoints are chosen
    majority/...         who knows how frequent each class is in training, and nothing else
    metadata/...         a logistic regression on the metadata of the images (date, time, position, ...)
    intensity/...        one on the mean and the standard deviation of each channel

All measures are those of `distgan.metrics.classification`; CLASS/precision and so on name their class.
"""

import logging
import re
from functools import cached_property
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from distgan.assessment.predictions import Predictions
from distgan.data.batches import Feed
from distgan.evaluation import Evaluation, Sets
from distgan.families.classifier import Classifier
from distgan.method import Method
from distgan.metrics.baselines import design, logistic, majority
from distgan.metrics.classification import Floats, Numbers, intervals, measures
from distgan.plots.classification_plots import diagnosis
from storage import cuts, samples
from storage.errors import RecipeError
from storage.split import column_values

LOGGER = logging.getLogger(__name__)
BATCH = 64
FEWEST_GROUPS = 2


class ClassificationEvaluation(Evaluation):
    """Measures a classifier on what is held out, always on all of it.

    Raises RecipeError: nothing is held out, or the method is no classifier.
    """

    headline = "auc"
    lower = ("cross_entropy", "brier", "calibration_error")

    def __init__(self, sets: Sets) -> None:
        super().__init__(sets)
        if sets.validation is not None:
            self.headline = "validation/auc"
        elif sets.held_out is None:
            raise RecipeError(
                "a classifier is judged on images it has not learnt from",
                "nothing is held out",
                "Set data.split.by, and perhaps [data.validation]",
            )
        self.found: Predictions | None = None
        if sets.held_out is not None and self._count_groups() < FEWEST_GROUPS:
            LOGGER.warning(
                "the held-out images are one group of %r, so there are no intervals; set evaluate.groups to a column "
                "with more",
                sets.group,
            )

    @cached_property
    def groups(self) -> np.ndarray[Any, np.dtype[np.str_]]:
        """Of each held-out image."""
        assert self.sets.held_out is not None
        obs = self.sets.held_out.obs
        names = column_values(obs, self.sets.group) if self.sets.group else range(len(obs))
        return np.asarray([str(name) for name in names])

    def _count_groups(self) -> int:
        return len(np.unique(self.groups))

    def before(self, method: Method) -> dict[str, float]:
        """Those who have not looked, and the network with its first weights."""
        one = _classifier(method)
        found = self.measure(method)
        if self.headline not in found:
            raise RecipeError(
                f"there is no {self.headline}, by which checkpoints are chosen",
                "the images it is of are all of one class",
                "Hold out groups of both: by stratify, or by another column",
            )
        held_out = self.sets.held_out or self.sets.validation
        assert held_out is not None
        truth = _truth(one, held_out)
        for name, probabilities in self._baselines(one, held_out).items():
            of = measures(truth, probabilities, _named(one))
            found |= {f"{name}/{key}": float(value) for key, value in of.items() if np.isfinite(value)}
        return found

    def _baselines(self, one: Classifier, others: Feed) -> dict[str, Floats]:
        train, classes = self.sets.train, len(one.classes)
        rows = np.arange(len(train.images))
        if len(rows) > 4 * self.sets.samples:
            random = np.random.Generator(np.random.Philox(key=[self.sets.seed, 7]))
            rows = np.sort(random.permutation(rows)[: 4 * self.sets.samples])
        truth = _truth(one, train)[rows]
        without = {one.config.column, self.sets.group, *cuts.OURS, *samples.OURS}
        known = design(train.obs.take(rows), others.obs, np.asarray(one.classes)[truth], without)
        if known.columns:
            LOGGER.info("the metadata that a classifier is compared with: %s", ", ".join(known.columns))
        return {
            "majority": majority(truth, classes, len(others.images)),
            "metadata": logistic(known.train, truth, known.others, classes),
            "intensity": logistic(_intensity(train, rows), truth, _intensity(others), classes),
        }

    def measure(self, method: Method) -> dict[str, float]:
        """Of both sets, with intervals for the held-out images."""
        one = _classifier(method)
        found: dict[str, float] = {}
        if self.sets.validation is not None:
            of = measures(_truth(one, self.sets.validation), _probabilities(one, self.sets.validation), _named(one))
            found |= {f"validation/{name}": float(value) for name, value in of.items() if np.isfinite(value)}
        feed = self.sets.held_out
        if feed is not None:
            truth, probabilities = _truth(one, feed), _probabilities(one, feed)
            self.found = Predictions(feed.store_rows, self.groups, truth, probabilities, one.classes)
            of = measures(truth, probabilities, _named(one))
            found |= {name: float(value) for name, value in of.items() if np.isfinite(value)}
            if self._count_groups() >= FEWEST_GROUPS:
                for name, (low, high) in intervals(
                    truth, probabilities, _named(one), self.groups, self.sets.seed
                ).items():
                    found |= {f"{name}_low": low, f"{name}_high": high}
        return found

    def keep(self, images_seen: int) -> None:
        """Write what was said of each held-out image."""
        if self.found is not None:
            self.found.write(self.sets.folder, images_seen)

    def figures(self, method: Method, images_seen: int) -> dict[str, Figure]:
        """ROC, precision and recall, calibration, confusion of the held-out images."""
        one, found = _classifier(method), self.found
        if found is None:
            return {}
        title = f"{one.config.positive}, held out, {images_seen:,} images seen"
        return {"classification": diagnosis(found.truth, found.probabilities, one.classes, one.positive, title)}


def _classifier(method: Method) -> Classifier:
    if isinstance(method, Classifier):
        return method
    raise RecipeError(
        f"{method.config.name} is no classifier",
        "evaluate.metrics names classification",
        "Take transfer_classifier or bag_classifier",
    )


def _named(one: Classifier) -> dict[int, str]:
    """The classes of which precision and recall are told, the positive one first; both, if there are two."""
    numbers = [one.positive, *((1 - one.positive,) if len(one.classes) == 2 else ())]
    return {number: re.sub(r"[^\w.\-]", "_", one.classes[number]) for number in numbers}


def _truth(one: Classifier, feed: Feed) -> Numbers:
    return feed.known.columns[one.config.column].cpu().numpy().astype(np.int64)


@torch.no_grad()
def _probabilities(one: Classifier, feed: Feed) -> Floats:
    """Of each image of the feed: N K."""
    rows = np.arange(len(feed.images))
    parts = [one.scores(feed.rows(rows[i : i + BATCH]).images) for i in range(0, len(rows), BATCH)]
    return torch.cat(parts).double().softmax(1).cpu().numpy()


def _intensity(feed: Feed, rows: Numbers | None = None) -> Floats:
    """Mean and standard deviation over space of each channel: N 2C."""
    rows = np.arange(len(feed.images)) if rows is None else rows
    found = []
    for i in range(0, len(rows), BATCH):
        pixels = feed.rows(rows[i : i + BATCH]).images.flatten(2).double()
        found.append(torch.cat([pixels.mean(2), pixels.std(2)], dim=1).cpu().numpy())
    return np.concatenate(found)
