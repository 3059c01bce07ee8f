"""What the answers of a study mean: tables, intervals and a figure."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from distgan.assessment.quality import rounded
from distgan.metrics import realism
from distgan.score import Told
from distgan.study.answers import Answers

Row = dict[str, Any]
MEASURES: dict[str, tuple[Callable[..., float], float | None]] = {
    "accuracy": (realism.accuracy, 0.5),
    "balanced accuracy": (realism.balanced_accuracy, 0.5),
    "fooled": (realism.fooled, None),
}
"""Of all answers together, and what a coin gets, where that says anything."""
PANELS = {
    "accuracy": "right answers [share]",
    "fooled": "generated images taken for real [share]",
}


def results(answers: Answers, seed: int = 0) -> Told:
    """Of each person, of all together, and of each image.

    Everybody's figures are over all answers, with intervals for other people and other images; a person's own have
    Wilson's, for other images alone.
    """
    people = [_person(answers, number) for number in range(len(answers.people))]
    together = [_together(answers, name, seed) for name in MEASURES]
    facts = {
        "study": answers.study,
        "title": answers.title,
        "images": len(answers.images),
        "generated": int(answers.truths.sum()),
        "answers": len(answers.which),
        "people": people,
        "together": together,
        "agreement, kappa": rounded(realism.kappa(answers.which, answers.called_made)),
        "notes": _notes(answers),
    }
    tables = {"images": _images(answers), "people": pa.Table.from_pylist(people)}
    return Told(facts, tables, {"people": partial(_figure, people, {row["measure"]: row for row in together})})


def _person(answers: Answers, number: int) -> Row:
    """fooled: share of the generated images taken for real.  doubted: of the real ones taken for generated."""
    own = answers.who == number
    made, called = answers.made[own], answers.called_made[own]
    hits, false_alarms = int((made & called).sum()), int((~made & called).sum())
    counts = hits, int(made.sum()), false_alarms, int((~made).sum())
    return {
        "person": answers.people[number],
        "answers": len(made),
        **_share("accuracy", int((made == called).sum()), len(made)),
        **_share("fooled", counts[1] - hits, counts[1]),
        "doubted": rounded(false_alarms / counts[3]) if counts[3] else None,
        "d'": rounded(realism.d_prime(*counts)),
        "criterion": rounded(realism.criterion(*counts)),
        "median s": rounded(float(np.median(answers.seconds[own]))),
    }


def _share(name: str, part: int, of: int) -> Row:
    low, high = realism.wilson(part, of)
    return {name: rounded(part / of) if of else None, f"{name} low": rounded(low), f"{name} high": rounded(high)}


def _together(answers: Answers, name: str, seed: int) -> Row:
    measure, chance = MEASURES[name]
    low, high = realism.interval(measure, answers.made, answers.called_made, answers.who, answers.which, seed)
    value = measure(answers.made, answers.called_made)
    return {"measure": name, "value": rounded(value), "low": rounded(low), "high": rounded(high), "chance": chance}


def _notes(answers: Answers) -> list[str]:
    notes = []
    if len(answers.people) == 1:
        notes.append("one person answered: the intervals are for other images, and say nothing of other people")
    elif len(answers.people) < 6:
        notes.append(f"{len(answers.people)} people are few: their intervals are rough")
    counts = np.bincount(answers.who, minlength=len(answers.people))
    notes += [
        f"{name} answered {count} of {len(answers.images)} images"
        for name, count in zip(answers.people, counts, strict=True)
        if count < len(answers.images)
    ]
    return notes


def _images(answers: Answers) -> pa.Table:
    """Every image, with what was said of it; those most often taken for real come first."""
    shown = np.bincount(answers.which, minlength=len(answers.images))
    real = shown - np.bincount(answers.which, answers.called_made, minlength=len(answers.images)).astype(int)
    share = real / np.maximum(shown, 1)
    order = np.lexsort((-share, ~answers.truths))
    return pa.table(
        {
            "image": [answers.images[at] for at in order],
            "truth": ["generated" if answers.truths[at] else "real" for at in order],
            "origin": [str(answers.origins[at]) for at in order],
            "called real": real[order],
            "of": shown[order],
        }
    )


def _figure(people: list[Row], together: dict[str, Row]) -> Figure:
    """Each person's shares with their intervals, and everybody's; the dashed line is a coin."""
    names = [*(row["person"] for row in people), "together"]
    figure = Figure(figsize=(7.0, 1.2 + 0.3 * len(names)), dpi=150, layout="constrained")
    for axis, (name, title) in zip(figure.subplots(1, 2, sharey=True), PANELS.items(), strict=True):
        rows = [[row[name], row[f"{name} low"], row[f"{name} high"]] for row in people]
        rows.append([together[name][key] for key in ("value", "low", "high")])
        for at, (value, low, high) in enumerate(rows):
            if value is not None:
                last = at == len(people)
                axis.plot([low, high], [at, at], color="k" if last else "C0", linewidth=1.2)
                axis.plot(value, at, "kD" if last else "C0o", markersize=5)
        axis.axvline(0.5, color="0.6", linestyle="--", linewidth=0.8)
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_xlabel(title, fontsize=8)
    return figure
