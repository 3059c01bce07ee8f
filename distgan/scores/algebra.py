"""`distgan evaluate algebra`: do sums and differences of profiles mean what one would hope?

The three tests of CytoGAN's code, each of every treatment that it can be made of, with T a treatment's mean profile,
C and C' those of two halves of the controls, and M that of a mechanism:

    cancel    T - C + C'                           should have T's mechanism        baseline: T alone
    dose      A high - A low + B low               should be B high                 baseline: B low alone
    opposite  M - C + M of the opposite mechanism  should be the controls C'        baseline: the second M alone
              and of all pairs that are no opposites, for comparison

Terms are no candidates for the result; in `cancel` other doses of T's compound are none, either. The profiles are as
they are given (`normalise` puts plates in units of their controls, after which C is nearly 0).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from distgan.assessment.profile_tables import read_profiles
from distgan.metrics.algebra import Analogy, Judged, Mask, interval, judged
from distgan.metrics.moa import Distance
from distgan.metrics.normalisation import normalised
from distgan.metrics.profiles import Floats, Profiles, aggregated
from distgan.score import Asked, ScoreSettings, Told
from storage.errors import DataError, RecipeError

CONTROLS = "controls"
"""Name of the candidate that the controls are."""


class Settings(ScoreSettings):
    """`[algebra]`.

    features, ignore: patterns of columns of a table, or of kinds of features of an embedding store.  compound, dose,
    mechanism, plate: the metadata columns.  controls: column -> values of untreated profiles.
    normalise: whether each plate is put in units of its controls.  opposites: pairs of mechanisms.  resamples: of
    compounds, or of pairs of mechanisms, for the intervals.
    """

    features: tuple[str, ...] = ("*",)
    ignore: tuple[str, ...] = ("Metadata_*",)
    compound: str = "compound"
    dose: str = "concentration"
    mechanism: str = "moa"
    plate: str = "plate"
    controls: dict[str, list[str]] = Field(default_factory=lambda: {"compound": ["DMSO"]})
    normalise: Literal["none", "standard", "robust"] = "none"
    distance: Distance = "cosine"
    opposites: tuple[tuple[str, str], ...] = (("Protein synthesis", "Protein degradation"),)
    resamples: int = Field(1000, ge=1)
    seed: int = Field(0, ge=0)

    @property
    def metadata(self) -> tuple[str, ...]:
        """Every column that is no feature."""
        return tuple(dict.fromkeys((self.compound, self.dose, self.mechanism, self.plate, *self.controls)))


@dataclass(frozen=True)
class _Set:
    """Candidates: the treatments N, then C'.  half: C, D."""

    values: Floats
    compounds: list[str]
    doses: list[float | None]
    mechanisms: list[str]
    half: Floats

    def name(self, row: int) -> str:
        return CONTROLS if row == len(self.compounds) else f"{self.compounds[row]} {self.doses[row]}"

    def mask(self, *rows: int) -> Mask:
        """Those candidates."""
        found = np.zeros(len(self.values), np.bool_)
        found[list(rows)] = True
        return found

    def of(self, column: list[str], value: str) -> Mask:
        """The treatments of that value; the controls have none."""
        return np.array([one == value for one in column] + [False])


def score(asked: Asked) -> Told:
    """Score all features of a table or an embedding store.

    Raises RecipeError: a column is not there.  Raises DataError: no analogy can be made.
    """
    settings: Settings = asked.settings
    scores: list[dict[str, Any]] = []
    tables: dict[str, pa.Table] = {}
    named = read_profiles(
        asked.target, asked.cache, asked.progress, settings.metadata, settings.features, settings.ignore
    )
    for features, profiles in named:
        if profiles.values.shape[1] == 1:
            continue  # one number has no direction
        one = _set(profiles, settings)
        tests = {
            "cancel": list(_cancel(one)),
            "dose": list(_dose(one)),
            "opposite": list(_opposite(one, settings, opposite=True)),
            "other pairs": list(_opposite(one, settings, opposite=False)),
        }
        for test, analogies in tests.items():
            if analogies:
                result = judged(analogies, one.values, settings.distance)
                scores.append({"features": features, "test": test, **_row(analogies, result, settings)})
                tables[f"{features} {test}"] = _table(analogies, result, one)
    if not scores:
        raise DataError("no analogy can be made", "no mechanism or dose twice", "Name algebra.mechanism and .dose")
    facts = {"score": "algebra", "of": asked.target, "settings": settings.model_dump(mode="json"), "scores": scores}
    return Told(facts, tables)


def _set(profiles: Profiles, settings: Settings) -> _Set:
    """Mean profiles of the treatments and of two halves of the controls."""
    finite = np.isfinite(profiles.values).all(0)
    profiles = profiles.with_values(profiles.values[:, finite].astype(np.float64), ())
    controls = np.ones(len(profiles), np.bool_)
    for name, wanted in settings.controls.items():
        controls &= np.isin(profiles.column(name), wanted)
    if controls.sum() < 2:
        raise RecipeError(
            "there are not two controls",
            f"algebra.controls is {settings.controls}, and {controls.sum()} profiles are such",
            "Name them",
        )
    if settings.normalise != "none":
        values, _ = normalised(
            profiles.values, profiles.column(settings.plate), controls, settings.normalise, "unscaled"
        )
        profiles = profiles.with_values(values)
    order = np.random.default_rng(settings.seed).permutation(np.flatnonzero(controls))
    halves = [profiles.values[half].mean(0) for half in np.array_split(order, 2)]
    by = [settings.compound, settings.dose] if settings.dose else [settings.compound]
    means = aggregated(profiles.rows(~controls), by)
    count = len(means)
    return _Set(
        np.concatenate([means.values, halves[1][None]]),
        means.column(settings.compound).tolist(),
        [_number(text) for text in means.column(settings.dose).tolist()] if settings.dose else [None] * count,
        means.column(settings.mechanism).tolist() if settings.mechanism in means.columns else [""] * count,
        halves[0],
    )


def _cancel(one: _Set) -> Iterator[Analogy]:
    for row, (compound, mechanism) in enumerate(zip(one.compounds, one.mechanisms, strict=True)):
        own = one.values[row]
        same = one.of(one.compounds, compound) | one.mask(-1)
        right = one.of(one.mechanisms, mechanism) & ~same
        if mechanism and right.any():
            terms = one.mask(row, -1)
            yield Analogy(one.name(row), own, one.half, one.values[-1], own, right, same, terms, compound)


def _dose(one: _Set) -> Iterator[Analogy]:
    place = {(compound, dose): row for row, (compound, dose) in enumerate(zip(one.compounds, one.doses, strict=True))}
    doses: dict[str, set[float]] = {}
    for compound, dose in place:
        if dose is not None:
            doses.setdefault(compound, set()).add(dose)
    for first, second in permutations(doses, 2):
        for low, high in combinations(sorted(doses[first] & doses[second]), 2):
            terms = [place[first, high], place[first, low], place[second, low]]
            plus, minus, other = (one.values[row] for row in terms)
            name = f"{one.name(terms[0])} - {low} + {one.name(terms[2])}"
            left_out, right = one.mask(*terms, -1), one.mask(place[second, high])
            yield Analogy(name, plus, minus, other, other, right, left_out, one.mask(*terms), second)


def _opposite(one: _Set, settings: Settings, *, opposite: bool) -> Iterator[Analogy]:
    known = sorted({name for name in one.mechanisms if name})
    wanted = {frozenset(pair) for pair in settings.opposites}
    for first, second in combinations(known, 2):
        if (frozenset((first, second)) in wanted) == opposite:
            means = [one.values[one.of(one.mechanisms, name)].mean(0) for name in (first, second)]
            nothing = np.zeros(len(one.values), np.bool_)
            name = f"{first} + {second}"
            yield Analogy(name, means[0], one.half, means[1], means[1], one.mask(-1), nothing, nothing, name)


def _row(analogies: list[Analogy], result: Judged, settings: Settings) -> Mapping[str, Any]:
    gain = result.nearer - result.nearer_alone
    limits = interval(gain, [one.group for one in analogies], settings.resamples, settings.seed)
    return {
        "analogies": len(analogies),
        "found": round(float(result.found.mean()), 4),
        "chance": round(float(result.chance.mean()), 4),
        "alone": round(float(result.alone.mean()), 4),
        "terms allowed": round(float(result.with_terms.mean()), 4),
        "nearer": round(float(result.nearer.mean()), 4),
        "nearer alone": round(float(result.nearer_alone.mean()), 4),
        "gain": round(float(gain.mean()), 4),
        "gain 95%": limits and [round(limit, 4) for limit in limits],
    }


def _table(analogies: list[Analogy], result: Judged, one: _Set) -> pa.Table:
    return pa.table(
        {
            "analogy": [analogy.name for analogy in analogies],
            "nearest": [one.name(row) for row in result.nearest.tolist()],
            "found": result.found,
            "nearer": result.nearer,
            "nearer alone": result.nearer_alone,
        }
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
