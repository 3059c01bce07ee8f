"""What chance could have made of a metric: it is found again on resampled groups of held-out samples.

Of each training there are the predictions of every held-out sample; neighbouring samples of one embryo are almost the
same picture, so that embryos are drawn again, and not samples. All trainings of a fold are judged on the same draws.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from distgan.assessment.predictions import evaluated_at, read_predictions
from distgan.metrics.classification import measures, resamples
from tune.fraction_results import Floats, Results

SAME = 1e-5
"""By how much a metric of the predictions may differ from the one that the training reported."""


def with_group_bootstrap(
    results: Results, sweep: Path, members: list[dict[str, Any]], found: Mapping[str, Mapping[str, Any]], metric: str
) -> Results:
    """The results with their values by resamples of held-out groups, where every training that ended has predictions.

    members: of the plan.  found: by name, what is in results/.  metric: one of `distgan.metrics.classification`.
    """
    resampled: Floats | None = None
    fewest: list[int] = []
    for one, place in zip(members, results.places(members), strict=True):
        if not np.isfinite(results.values[place]):
            continue
        folder = sweep / "members" / one["name"]
        seen = found[one["name"]]["images_seen"]
        if seen not in evaluated_at(folder):
            return results
        own = read_predictions(folder, seen)
        positive = own.classes.index(one["tables"]["method"]["positive"])
        numbers = [positive, *(other for other in range(len(own.classes)) if other != positive)]
        names = {number: re.sub(r"[^\w.\-]", "_", own.classes[number]) for number in numbers}
        told = measures(own.truth, own.probabilities, names).get(metric)
        if told is None or abs(float(told) - results.values[place]) > SAME:
            return results  # of something else than the predictions
        weights = resamples(own.groups, results.resamples, place[-1])
        if resampled is None:
            resampled = np.full((*results.values.shape, results.resamples), np.nan)
        resampled[place] = measures(own.truth, own.probabilities, names, weights)[metric]
        fewest.append(len(np.unique(own.groups)))
    return replace(results, resampled=resampled, groups=min(fewest, default=0))
