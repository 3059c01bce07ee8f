"""Watching a GAN: what the numbers of a run say when it goes wrong, while its losses may look healthy.

A detector is a pure function of the metrics so far. What it finds is logged as `watch/NAME` = 1 at that point of the
run, and as 0 when it is over; a run in which nothing is found has no such metric.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

Series = Mapping[str, Sequence[float]]
"""The values of each metric by its name, oldest first; the last `KEPT` of them."""

KEPT = 128
BASELINE, GAP = 20, 10
"""A baseline is what was logged more than `GAP` logs ago, once that is `BASELINE` values."""
EVALUATIONS = 3
"""A collapse is told after so many evaluations that agree."""


def diverges(series: Series) -> bool:
    """A loss or gradient norm is not finite, or its last three are ten times the greatest of the baseline.

    For numbers that are not negative that is a z-score of at least 18, whatever their scatter. The losses share one
    baseline, for one of them may begin near zero.
    """
    losses = [[abs(value) for value in values] for values in _named(series, "loss").values()]
    norms = list(_named(series, "gradient_norm").values())
    if not all(math.isfinite(values[-1]) for values in (*losses, *norms)):
        return True
    level = max((value for values in losses for value in _baseline(values)), default=0.0)
    return any(_beyond(values, level) for values in losses) or any(
        _beyond(values, max(_baseline(values), default=0.0)) for values in norms
    )


def saturates(series: Series) -> bool:
    """A critic tells real from fake in 99 % of the pairs, ten logs long, and leaves the others next to no gradient.

    Next to none: under a hundredth of the median of the baseline. A critic that is right and still gives a slope, as
    that of a Wasserstein GAN does, is healthy.
    """
    right = {
        turn for turn, values in _named(series, "accuracy").items() if len(values) >= GAP and min(values[-GAP:]) >= 0.99
    }
    return any(
        max(values[-GAP:]) < 0.01 * median(_baseline(values))
        for turn, values in _named(series, "gradient_norm").items()
        if right - {turn} and _baseline(values)
    )


def collapses(series: Series) -> bool:
    """The samples are far more alike than real images are, at three evaluations, and not growing apart.

    Far more: under a quarter of the spread of real images, or most samples are copies (see `metrics.diversity`).
    """
    spread = series.get("diversity/spread", ())[-EVALUATIONS:]
    copies = series.get("diversity/duplicates", ())[-EVALUATIONS:]
    if len(spread) < EVALUATIONS:
        return False
    alike = max(spread) < 0.25 and spread[-1] <= 2 * spread[0]
    return alike or (len(copies) == EVALUATIONS and min(copies) > 0.5)


DETECTORS: Mapping[str, Callable[[Series], bool]] = {
    "divergence": diverges,
    "saturation": saturates,
    "collapse": collapses,
}
MEANING = {
    "divergence": "losses or gradients are more than ten times what they were",
    "saturation": "the critic is never wrong, and leaves the generator next to no gradient",
    "collapse": "the generator makes few different images, far fewer than the real ones are",
}
"""What a finding means, for people."""


class Watch:
    """The metrics of a run so far, and what was found in them.  past: what was logged before a restart."""

    def __init__(self, past: Iterable[Mapping[str, float]] = ()) -> None:
        self.series: dict[str, list[float]] = {}
        self.new: set[str] = set()
        for metrics in past:
            self._keep(metrics)

    def see(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Take metrics in.  Returns what changed by them: `watch/NAME`, 1 if it is found and 0 if it is over."""
        self._keep(metrics)
        changed = {}
        for name, detector in DETECTORS.items():
            found = detector(self.series)
            if found != bool(self.series.get(f"watch/{name}", [0.0])[-1]):
                changed[f"watch/{name}"] = float(found)
                self.new = self.new | {name} if found else self.new - {name}
        self._keep(changed)
        return changed

    def taken(self) -> set[str]:
        """What was found since this was last asked, and is not over."""
        new, self.new = self.new, set()
        return new

    def _keep(self, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            values = self.series.setdefault(name, [])
            values.append(value)
            del values[:-KEPT]


def _named(series: Series, kind: str) -> dict[str, Sequence[float]]:
    """The series KIND/NAME, by NAME."""
    parts = ((name.partition("/"), values) for name, values in series.items())
    return {name: values for (first, _, name), values in parts if first == kind}


def _baseline(values: Sequence[float]) -> Sequence[float]:
    earlier = values[:-GAP]
    return earlier if len(earlier) >= BASELINE else ()


def _beyond(values: Sequence[float], level: float) -> bool:
    """Whether the last three are more than ten times the level; never, where there is no level yet."""
    return bool(_baseline(values)) and 0 < 10 * level < min(values[-3:])
