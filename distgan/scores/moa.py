"""`distgan evaluate moa`: do the profiles of treatments tell their mechanism of action?

Features -> (those chosen) -> units of the controls of each plate -> (sphered, or batches made alike) -> wells ->
treatments -> nearest neighbour. Every figure has its denominator, what chance gives, and baselines beside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from distgan.assessment.profile_tables import read_profiles
from distgan.metrics.average_precision import replicates
from distgan.metrics.moa import Distance, Matched, Treatments, matched, p_value
from distgan.metrics.normalisation import Constant, normalised
from distgan.metrics.profiles import Aggregate, Profiles, aggregated, counts
from distgan.metrics.selection import distinct, reproducible
from distgan.metrics.sphering import REGULARISATION, sphering
from distgan.metrics.tvn import typical_variation_normalised
from distgan.plots import profile_plots
from distgan.score import Asked, ScoreSettings, Told
from storage.errors import DataError, RecipeError

Correction = Literal["none", "sphering", "tvn"]
Mask = NDArray[np.bool_]


class Settings(ScoreSettings):
    """`[moa]`.

    features, ignore: patterns of columns of a table, or of kinds of features of an embedding store.  intensity: pattern
    of those columns that are a baseline by themselves; "" is none.  compound, dose, mechanism, plate, well, batch: the
    metadata columns; batch = "" is no NSCB.  controls: column -> values of untreated profiles.
    fit: whether plates are scaled and corrections fitted on the profiles as they are given, or on wells.
    by_well: average to wells before treatments.  normalise, constant: as of `distgan.metrics.normalisation`.
    reproducible, distinct: thresholds of `distgan.metrics.selection`; None chooses nothing.  corrections: each is
    scored.  permutations: of mechanisms among compounds.
    """

    features: tuple[str, ...] = ("*",)
    ignore: tuple[str, ...] = ("Metadata_*",)
    intensity: str = "*Intensity*"
    compound: str = "compound"
    dose: str = "concentration"
    mechanism: str = "moa"
    plate: str = "plate"
    well: str = "well"
    batch: str = "batch"
    controls: dict[str, list[str]] = Field(default_factory=lambda: {"compound": ["DMSO"]})
    fit: Literal["profiles", "wells"] = "profiles"
    by_well: bool = True
    aggregate: Aggregate = "mean"
    normalise: Literal["standard", "robust", "none"] = "standard"
    constant: Constant = "unscaled"
    reproducible: float | None = Field(None, ge=-1, le=1)
    distinct: float | None = Field(None, gt=0, le=1)
    corrections: tuple[Correction, ...] = ("none", "sphering")
    regularisation: float = Field(REGULARISATION, ge=0)
    permutations: int = Field(1000, ge=1)
    seed: int = 0

    @property
    def metadata(self) -> tuple[str, ...]:
        """Every column that is no feature."""
        named = (self.compound, self.dose, self.mechanism, self.plate, self.well, self.batch, *self.controls)
        return tuple(dict.fromkeys(name for name in named if name))


@dataclass
class _Findings:
    scores: list[dict[str, Any]] = field(default_factory=list)
    retrieval: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: dict[str, pa.Table] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def score(asked: Asked) -> Told:
    """Score all features of a table or an embedding store.

    Raises RecipeError: a column is not there.  Raises DataError: nothing can be scored.
    """
    settings: Settings = asked.settings
    found, counted = _Findings(), False
    named = read_profiles(
        asked.target, asked.cache, asked.progress, settings.metadata, settings.features, settings.ignore
    )
    for name, profiles in named:
        profiles = _finite(profiles, name, found)
        if not counted and settings.well in profiles.columns:
            wells = counts(profiles, _well(settings, profiles))
            if np.ptp(wells.values):  # a table of wells has one row each
                _score_all("counted", wells, settings, found, "euclidean")
            counted = True
        for kind, part in _baselines(name, profiles, settings):
            _score_all(kind, part, settings, found)
    facts = {"score": "moa", "of": asked.target, **found.counts, "settings": settings.model_dump(mode="json")}
    facts |= {"mechanisms found": found.scores, "replicates": found.retrieval, "notes": found.notes}
    return Told(facts, found.tables, found.figures)


def _baselines(name: str, profiles: Profiles, settings: Settings) -> Iterator[tuple[str, Profiles]]:
    """The features themselves, and those of intensity alone."""
    yield name, profiles
    bright = np.array([fnmatchcase(one, settings.intensity) for one in profiles.names], np.bool_)
    if settings.intensity and bright.any() and not bright.all():
        names = tuple(np.array(profiles.names)[bright].tolist())
        yield f"{name}, intensity alone", profiles.with_values(profiles.values[:, bright], names)


def _finite(profiles: Profiles, name: str, found: _Findings) -> Profiles:
    whole: Mask = np.asarray(np.isfinite(profiles.values).all(0))
    if whole.all():
        return profiles
    if not whole.any():
        raise DataError(
            f"no feature of {name} has a value in every profile", f"{len(whole)} features", "Leave those rows out"
        )
    found.notes.append(f"{name}: {(~whole).sum()} of {len(whole)} features are unknown somewhere and left out")
    names = (
        tuple(one for one, is_whole in zip(profiles.names, whole, strict=True) if is_whole) if profiles.names else ()
    )
    return profiles.with_values(profiles.values[:, whole], names)


def _score_all(
    name: str, profiles: Profiles, settings: Settings, found: _Findings, distance: Distance = "cosine"
) -> None:
    """One kind of features, under every correction.  distance: euclidean where there is but one feature."""
    if settings.fit == "wells":
        profiles = aggregated(profiles, _well(settings, profiles), settings.aggregate)
    profiles = _selected(name, profiles, settings, found)
    controls = _controls(profiles, settings)
    if settings.normalise != "none":
        plates = profiles.column(settings.plate)
        values, kept = normalised(profiles.values, plates, controls, settings.normalise, settings.constant)
        profiles = profiles.with_values(values)
        if not kept.all():
            found.notes.append(f"{name}: {(~kept).sum()} of {len(kept)} features are constant in some plate's controls")
    for correction in settings.corrections if distance == "cosine" else ("none",):
        label = f"{name}, {correction}" if correction != "none" else name
        wells = _wells(_corrected(label, profiles, controls, correction, settings, found), settings)
        _score(label, wells, settings, found, distance)


def _selected(name: str, profiles: Profiles, settings: Settings, found: _Findings) -> Profiles:
    """The features chosen by the treated wells, before anything is done to them, as was published."""
    if settings.reproducible is None and settings.distinct is None:
        return profiles
    wells = _wells(profiles, settings)
    treated = wells.rows(~_controls(wells, settings))
    kept = np.ones(profiles.values.shape[1], np.bool_)
    if settings.reproducible is not None:
        kept &= reproducible(treated.values, _treatments(treated, settings), settings.reproducible, settings.seed)
    if settings.distinct is not None and kept.any():
        kept[kept] = distinct(treated.values[:, kept], settings.distinct)
    if kept.all():
        return profiles
    if not kept.any():
        raise DataError(f"no feature of {name} is chosen", f"{len(kept)} features", "Lower moa.reproducible")
    found.notes.append(f"{name}: {kept.sum()} of {len(kept)} features chosen, by replicates of the treatments scored")
    return profiles.with_values(profiles.values[:, kept], ())


def _corrected(
    label: str, profiles: Profiles, controls: Mask, correction: Correction, settings: Settings, found: _Findings
) -> Profiles:
    if correction == "none":
        return profiles
    features = profiles.values.shape[1]
    if controls.sum() <= features and settings.regularisation <= REGULARISATION:
        found.notes.append(
            f"{label}: {controls.sum()} controls are too few to know {features} variances: raise moa.regularisation"
        )
    if correction == "sphering":
        return profiles.with_values(
            sphering(profiles.values[controls], settings.regularisation)(profiles.values), profiles.names
        )
    batches = profiles.column(settings.batch or settings.plate)
    values = typical_variation_normalised(profiles.values, batches, controls, settings.regularisation)
    return profiles.with_values(values, profiles.names)


def _wells(profiles: Profiles, settings: Settings) -> Profiles:
    if not settings.by_well or settings.fit == "wells" or settings.well not in profiles.columns:
        return profiles
    return aggregated(profiles, _well(settings, profiles), settings.aggregate)


def _score(label: str, wells: Profiles, settings: Settings, found: _Findings, distance: Distance) -> None:
    controls = _controls(wells, settings)
    known = wells.rows(~controls & (wells.column(settings.mechanism) != ""))
    if not len(known):
        raise DataError(
            "no profile has a mechanism", f"{len(wells)} profiles, {controls.sum()} controls", "Name moa.mechanism"
        )
    by = [settings.compound, settings.dose] if settings.dose else [settings.compound]
    means = aggregated(known, by, settings.aggregate)
    one_batch = settings.batch in means.columns
    treatments = Treatments(
        means.values,
        means.column(settings.compound),
        means.column(settings.mechanism),
        means.column(settings.batch) if one_batch else np.full(len(means), ""),
    )
    found.counts |= {
        "treatments": len(means),
        "compounds": len(np.unique(treatments.compounds)),
        "mechanisms": len(np.unique(treatments.mechanisms)),
        "controls": int(controls.sum()),
    }
    if settings.batch and not one_batch:
        told = f"column {settings.batch!r} is missing, or a treatment is in several: no NSCB"
        found.notes += [told] if told not in found.notes else []
    rules = [("NSC", False), ("NSCB", True)] if one_batch else [("NSC", False)]
    for rule, other_batch in rules:
        result = matched(treatments, other_batch=other_batch, distance=distance)
        found.scores.append(_row(label, rule, result, settings))
        title = f"{label}, {rule}: {result.found.sum()} of {len(means)}"
        found.tables[f"{label} {rule}"] = _neighbours(means, result, settings)
        found.figures[f"{label} {rule} confusion"] = partial(profile_plots.confusion, *result.confusion(), title)
    if distance == "cosine":
        found.figures[f"{label} map"] = partial(profile_plots.neighbourhood, means.values, treatments.mechanisms, label)
        _retrieve(label, wells, controls, settings, found)


def _row(label: str, rule: str, result: Matched, settings: Settings) -> dict[str, Any]:
    chance = result.by_chance(settings.permutations, settings.seed)
    return {
        "features": label,
        "rule": rule,
        "found": int(result.found.sum()),
        "of": len(result.found),
        "possible": int(result.possible.sum()),
        "treatments": round(result.of_treatments, 4),
        "of possible": round(float(result.found.sum() / max(1, result.possible.sum())), 4),
        "compounds": round(result.of_compounds, 4),
        "chance": round(float(chance.mean()), 4),
        "chance 95%": round(float(np.quantile(chance, 0.95)), 4),
        "p": round(p_value(result.of_treatments, chance), 5),
    }


def _retrieve(label: str, wells: Profiles, controls: Mask, settings: Settings, found: _Findings) -> None:
    """Whether the wells of a treatment find one another."""
    names = _treatments(wells, settings)
    if len(np.unique(names[~controls])) == (~controls).sum():
        return  # no replicates
    for against in ("controls", "others") if controls.any() else ("others",):
        result = replicates(wells.values, names, controls, against, settings.permutations, settings.seed)
        found.retrieval.append(
            {
                "features": label,
                "against": against,
                "mean average precision": round(float(result.means.mean()), 4),
                "treatments with p < 0.05": int((result.p_values < 0.05).sum()),
                "of": len(result.names),
            }
        )


def _neighbours(means: Profiles, result: Matched, settings: Settings) -> pa.Table:
    """Every treatment, and the one it was likened to."""
    kept = [
        name for name in (settings.compound, settings.dose, settings.mechanism, settings.batch) if name in means.columns
    ]
    known = result.nearest >= 0
    columns = {name: means.columns[name] for name in kept}
    columns |= {f"nearest {name}": np.where(known, means.columns[name][result.nearest], "") for name in kept}
    return pa.table({**columns, "found": result.found, "possible": result.possible})


def _well(settings: Settings, profiles: Profiles) -> list[str]:
    """A well has the same name on every plate."""
    profiles.column(settings.well)
    return [name for name in (settings.plate, settings.well) if name in profiles.columns]


def _treatments(profiles: Profiles, settings: Settings) -> NDArray[np.str_]:
    named = profiles.column(settings.compound)
    return np.char.add(np.char.add(named, " "), profiles.column(settings.dose)) if settings.dose else named


def _controls(profiles: Profiles, settings: Settings) -> Mask:
    found = np.ones(len(profiles), np.bool_)
    for name, values in settings.controls.items():
        found &= np.isin(profiles.column(name), values)
    if not found.any() and (settings.normalise != "none" or set(settings.corrections) - {"none"}):
        raise RecipeError(
            "no profile is a control",
            f"moa.controls is {settings.controls}",
            'Name them, or set moa.normalise = "none" and moa.corrections = ["none"]',
        )
    return found
