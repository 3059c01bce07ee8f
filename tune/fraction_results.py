"""The results of a fraction sweep so far, as arrays, and what chance could have made of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Place = tuple[int, int, int, int]
AXES = ("variant", "share", "repeat", "fold")


@dataclass(frozen=True)
class Results:
    """values, labels: V S R F (variants, shares, repeats, folds); NaN where nothing is known (yet).

    failed: V S, the trainings that diverged.  resamples: B, of the bootstrap.
    resampled: V S R F B, the values by B resamples of the groups held out, or None where they are not to be had.
    groups: how many are held out, in the fold with the fewest.
    """

    variants: tuple[str, ...]
    shares: tuple[float, ...]
    repeats: tuple[int, ...]
    folds: tuple[str, ...]
    values: Floats
    labels: Floats
    failed: NDArray[np.int64]
    resamples: int = 1000
    resampled: Floats | None = None
    groups: int = 0

    @property
    def label_counts(self) -> Floats:
        """S: labels of each share, on average over folds and repeats."""
        return np.nanmean(self.labels, axis=(0, 2, 3))

    @property
    def units(self) -> int:
        """How many independent things an interval rests on, at most: groups, or repeats, or folds."""
        return (
            self.groups
            if self.resampled is not None
            else min((one for one in self.values.shape[2:] if one > 1), default=1)
        )

    def means(self) -> Floats:
        """V S: over repeats and folds."""
        return _means(self.values[..., None], np.ones((1, *self.values.shape[2:])))[..., 0]

    def differences(self) -> Floats:
        """V-1 S R F: of each variant from the first, in the same repeat and fold."""
        return self.values[1:] - self.values[:1]

    def places(self, members: Sequence[Mapping[str, Any]]) -> list[Place]:
        """Where each training is in the arrays."""
        variants, shares, repeats, folds = (
            {name: number for number, name in enumerate(own)}
            for own in (self.variants, self.shares, self.repeats, self.folds)
        )
        return [
            (variants[one["variant"]], shares[one["share"]], repeats[one["repeat"]], folds[one["fold"]])
            for one in members
        ]

    def bootstrap(self, seed: int = 0) -> tuple[Floats, Floats]:
        """Means V S B, and paired differences from the first variant V-1 S B, by B resamples.

        Repeats are drawn again with those of every share and variant, as are groups of held-out samples where each
        sample's prediction is known, and folds where it is not.
        """
        (repeats, folds), count = self.values.shape[2:], self.resamples
        random = np.random.Generator(np.random.Philox(key=[seed, 5]))
        weights = _drawn_again(random, count, repeats)[:, :, None]
        if self.resampled is None:
            weights = weights * _drawn_again(random, count, folds)[:, None, :]
        weights = np.broadcast_to(weights, (count, repeats, folds))
        values = self.values[..., None] if self.resampled is None else self.resampled
        return _means(values, weights), _means(values[1:] - values[:1], weights)


def results_of(
    members: Sequence[Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]], metric: str, resamples: int = 1000
) -> Results:
    """The arrays of a sweep.  members: facts of all trainings.  found: by name, what is in results/."""
    variants, shares, repeats, folds = (tuple(dict.fromkeys(one[axis] for one in members)) for axis in AXES)
    shape = len(variants), len(shares), len(repeats), len(folds)
    values, labels = np.full(shape, np.nan), np.full(shape, np.nan)
    failed = np.zeros(shape[:2], np.int64)
    made = Results(variants, shares, repeats, folds, values, labels, failed, resamples)
    for one, place in zip(members, made.places(members), strict=True):
        labels[place] = one["labels"]
        result = found.get(one["name"])
        if result is None:
            continue
        values[place] = result["metrics"].get(metric, np.nan)
        failed[place[:2]] += result["error"] is not None
    return made


def read_results(sweep: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What is known of the trainings that ended, by name."""
    paths = {name: sweep / "results" / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}


def _drawn_again(random: np.random.Generator, count: int, things: int) -> Floats:
    """How often each of so many things is drawn, when as many are drawn with replacement: B x things."""
    return random.multinomial(things, np.full(things, 1 / things), count).astype(np.float64)


def _means(values: Floats, weights: Floats) -> Floats:
    """Over repeats and folds.  values: V S R F B (or 1).  weights: B R F.  Unknown values count for nothing."""
    known, each = np.isfinite(values), np.moveaxis(weights, 0, -1)
    total = (np.where(known, values, 0.0) * each).sum((2, 3))
    count = (known * each).sum((2, 3))
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
