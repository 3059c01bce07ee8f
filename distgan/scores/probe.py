"""`distgan evaluate probe`: can a straight line through the features tell a column, where it has not looked?

A logistic regression (on features in units of the training samples) learns on all groups but one and is asked about
that one, each group in turn: plates, fields, dates. Beside it stand the most frequent class and, for an embedding
store, the brightness of the channels alone (`intensity`), for what a threshold can tell needs no network.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from distgan.assessment.profile_tables import read_profiles
from distgan.metrics.baselines import logistic, majority
from distgan.metrics.classification import (
    RESAMPLES,
    Floats,
    Numbers,
    accuracy,
    auc,
    balanced_accuracy,
    confusion,
    resamples,
)
from distgan.metrics.profiles import Profiles
from distgan.score import Asked, ScoreSettings, Told
from storage.errors import DataError

MEAN = "mean of groups with all classes"


class Settings(ScoreSettings):
    """`[probe]`.

    column: the metadata column that is to be told.  groups: that of what is held out whole, one value after another.
    features, ignore: patterns of columns of a table, or of kinds of features of an embedding store.  resample: column
    of what is drawn again for the intervals, of which there should be more than a handful; "" is the groups themselves.
    """

    column: str = "moa"
    groups: str = "plate"
    features: tuple[str, ...] = ("*",)
    ignore: tuple[str, ...] = ("Metadata_*",)
    resample: str = ""
    seed: int = Field(0, ge=0)

    @property
    def metadata(self) -> tuple[str, ...]:
        """Every column that is no feature."""
        return tuple(dict.fromkeys(name for name in (self.column, self.groups, self.resample) if name))


@dataclass(frozen=True)
class _Asked:
    """What is to be told of N samples.  classes: their names.  truth, group, resample: N."""

    classes: tuple[str, ...]
    truth: Numbers
    group: NDArray[np.str_]
    resample: NDArray[np.str_]


def score(asked: Asked) -> Told:
    """Probe all features of a table or an embedding store.

    Raises RecipeError: a column is not there.  Raises DataError: there is one class alone, or one group.
    """
    settings: Settings = asked.settings
    rows: list[dict[str, Any]] = []
    wanted: _Asked | None = None
    for name, profiles in read_profiles(
        asked.target, asked.cache, asked.progress, settings.metadata, settings.features, settings.ignore
    ):
        if wanted is None:
            wanted = _wanted(profiles, settings, asked.target)
            always = _held_out(np.zeros((len(wanted.truth), 0)), wanted)
            rows += _rows("the most frequent class", always, wanted, settings)
        rows += _rows(name, _held_out(profiles.values, wanted), wanted, settings)
    assert wanted is not None, "a target without features is refused where it is read"
    counts = {
        kind: dict(zip(*(part.tolist() for part in np.unique(of, return_counts=True)), strict=True))
        for kind, of in (("samples", np.array(wanted.classes)[wanted.truth]), ("groups", wanted.group))
    }
    facts = {"score": "probe", "of": asked.target, **counts, "settings": settings.model_dump(mode="json")}
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = pa.table({key: [row.get(key) for row in rows] for key in columns})
    return Told(facts | {"told": rows}, {"told": table})


def _wanted(profiles: Profiles, settings: Settings, target: str) -> _Asked:
    classes, truth = np.unique(profiles.column(settings.column), return_inverse=True)
    group = profiles.column(settings.groups)
    for what, column, count in (("class", settings.column, len(classes)), ("group", settings.groups, len(set(group)))):
        if count < 2:
            raise DataError(f"{target} has one {what} alone", f"column {column!r}", "Name another column")
    names: tuple[str, ...] = tuple(classes.tolist())
    return _Asked(names, truth.astype(np.int64), group, profiles.column(settings.resample or settings.groups))


def _held_out(values: NDArray[np.floating], wanted: _Asked) -> Floats:
    """N K probabilities, each by a regression that has seen nothing of the sample's group; of no features, shares."""
    found = np.empty((len(wanted.truth), len(wanted.classes)))
    for one in np.unique(wanted.group):
        out = wanted.group == one
        truth = wanted.truth[~out]
        if values.shape[1]:
            found[out] = logistic(values[~out].astype(np.float64), truth, values[out].astype(np.float64), len(found[0]))
        else:
            found[out] = majority(truth, len(wanted.classes), int(out.sum()))
    return found


def _rows(name: str, probabilities: Floats, wanted: _Asked, settings: Settings) -> Iterator[dict[str, Any]]:
    """One of each group, then the mean of those that have all classes; `auc low` to `auc high` are 95 %."""
    draws = resamples(wanted.resample, RESAMPLES, settings.seed)
    of_groups: list[dict[str, float]] = []
    areas: list[Floats] = []
    for one in np.unique(wanted.group).tolist():
        of = wanted.group == one
        truth, told = wanted.truth[of], probabilities[of]
        found = {"accuracy": float(accuracy(confusion(truth, told)))}
        if len(np.unique(truth)) == len(wanted.classes):
            found |= {
                "auc": float(auc(truth, told)),
                "balanced_accuracy": float(balanced_accuracy(confusion(truth, told))),
            }
            of_groups.append(found)
            areas.append(auc(truth, told, draws[:, of]))
        yield {"features": name, "held out": one, "samples": int(of.sum()), **found}
    if of_groups:
        mean = {key: float(np.mean([found[key] for found in of_groups])) for key in of_groups[0]}
        low, high = np.nanquantile(np.mean(areas, 0), (0.025, 0.975)).tolist()
        yield {
            "features": name,
            "held out": MEAN,
            "samples": len(wanted.truth),
            **mean,
            "auc low": low,
            "auc high": high,
        }
