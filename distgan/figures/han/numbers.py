"""Bars, maps and curves of what `distgan evaluate tissue`, studies and runs have found."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pyarrow import csv

from distgan.metrics.shape_features import NAMES
from distgan.monitoring.tracking import read_lines
from distgan.plots.figure_look import COLOURS, figure, legend, tidy
from distgan.plots.figure_set import Asked, Drawn, LeftOut
from distgan.plots.tissue_plots import least_distances_plot, shape_map
from storage.errors import DataError, MissingError

BASELINES = ("training images", "held-out images", "parametric")
SHARE = "gradient_share/labels"
Row = dict[str, Any]


def statistics(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """chi-squared of the three distributions, of every model and of held-out images and the parametric model."""
    rows: list[Row] = [{"of": name} | row for name, row in _rows(asked, "global statistics")]
    measures = [key for key in rows[0] if key.startswith("chi-squared")]
    shown = [row for row in rows if row["of"] != "training images"]
    drawn = _bars(
        {key.removeprefix("chi-squared "): {row["of"]: row[key] for row in shown} for key in measures},
        "chi-squared against training images [no unit]",
    )
    caption = "0 is the distribution of the training images; held-out images show what a perfect model may expect."
    yield Drawn("statistics", "Table 1: global statistics", caption, drawn, rows)


def real_or_made(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Share of single cells that a linear SVM calls real, with real held-out cells in the place of made ones."""
    found: list[Row] = [{"of": name} | row for name, row in _rows(asked, "single cells") if name != "training images"]
    keys = ("of", "called_real", "called_real_sd", "cells")
    rows: list[Row] = [{key: row.get(key) for key in keys} for row in found]
    errors = {row["of"]: row["called_real_sd"] or 0.0 for row in rows}
    drawn = _bars(
        {"called real": {row["of"]: row["called_real"] for row in rows}}, "called real [share of cells]", errors
    )
    caption = (
        "Bars are means over repeats, lines their standard deviations. Held-out images are real: a perfect model can "
        "be called real no more often. No bar: too few cells."
    )
    yield Drawn("called_real", "Figure 8: cells called real by a machine", caption, drawn, rows)


def people(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Share of images that people call real; places without a study stay empty."""
    studies: Mapping[str, Mapping[str, str]] = asked.settings.studies
    rows: list[Row] = []
    for kind in ("single cells", "full images"):
        for name in asked.settings.scores:
            folder = studies.get(name, {}).get(kind, "")
            told: Row = {"value": None, "low": None, "high": None}
            if folder:
                told = next(row for row in _told(folder, "study score")["together"] if row["measure"] == "fooled")
            rows.append({"of": name, "shown": kind} | {key: told[key] for key in ("value", "low", "high")})
    kinds = dict.fromkeys(row["shown"] for row in rows)
    drawn = _bars(
        {kind: {row["of"]: row["value"] for row in rows if row["shown"] == kind} for kind in kinds},
        "called real by people [share of made images]",
    )
    axis = drawn.axes[0]
    for place, name in enumerate(dict.fromkeys(row["of"] for row in rows)):
        if all(row["value"] is None for row in rows if row["of"] == name):
            axis.text(place + 0.2, 0.02, "nobody has judged", fontsize=6, rotation=90, ha="center", va="bottom")
    yield Drawn(
        "people",
        "Figure 9: images called real by people",
        "Half of what is shown is real. An empty place has no study yet: distgan study make --cells, or --pairs.",
        drawn,
        rows,
    )


def shape_maps(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """One map of the shape features of real cells, of the parametric model's, and of every model's."""
    features: dict[str, Any] = {}
    for name, folder in asked.settings.scores.items():
        path = Path(folder) / "shape_features.csv"
        if not path.is_file():
            raise MissingError(f"there is no {path}", "no table of shape features", "Make it by evaluate tissue --out")
        table = csv.read_csv(path)
        values = np.stack([table[one].to_numpy() for one in NAMES], 1) if table.num_rows else np.empty((0, len(NAMES)))
        groups = np.asarray(table["of"].to_pylist(), dtype=np.str_)
        for group in dict.fromkeys(groups.tolist()):
            features.setdefault(name if group == "made" else group, values[groups == group])
    drawn, places, names = shape_map(features, asked.settings.seed)
    if not names:
        yield LeftOut("Figure 10: map of shape features", "fewer than four single cells in all scores")
        return
    rows = [{"of": name, "x": float(x), "y": float(y)} for name, (x, y) in zip(names, places, strict=True)]
    caption = (
        "t-SNE of 89 features, scaled by those of training cells, of 100 cells of each or fewer. Only neighbourhood "
        "means anything; and neighbouring sections show the same cells."
    )
    yield Drawn("shape_map", "Figure 10: map of shape features", caption, drawn, rows)


def segmentation(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Mean IU and NLL of a network that learnt from real images, of made pairs and of held-out images."""
    title = "Figure 12 and table 2: labels read off images"
    rows: list[Row] = []
    readers: set[str] = set()
    for name, folder in asked.settings.scores.items():
        told = _told(folder, "evaluate tissue").get("segmentation")
        if not told or "made" not in told:
            yield LeftOut(f"{title}: {name}", f"no pairs were read for {folder}: set tissue.reader")
            continue
        readers.add(told["reader"])
        both = {"held-out images": told.get("held-out images"), name: told["made"]}
        own = told.get("made, read by its own reader")
        for of, found in (both | ({f"{name}, own reader": own} if own else {})).items():
            if found and of not in {row["of"] for row in rows}:
                rows.append(
                    {"of": of, "made of": told.get("made of", "")} | {key: found[key] for key in ("mean_iu", "nll")}
                )
    if len(readers) > 1:
        raise DataError(
            "the pairs were read by different networks", ", ".join(sorted(readers)), "Score with one reader"
        )
    if rows:
        drawn = _bars({"mean IU": {row["of"]: row["mean_iu"] for row in rows}}, "mean IU [share]")
        caption = (
            "By one network that was trained on real images. It is easily won: images that were made to be read, and "
            "simple ones, are read better than real ones; what a model's own reader finds says nothing of realism."
        )
        yield Drawn("segmentation", title, caption, drawn, rows, {"reader": next(iter(readers))})


def noise_distances(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """1 - IU of mitochondria made of the same membranes, of models that were told the same noise."""
    rows = []
    for name, folder in asked.settings.completion_scores.items():
        told = _told(folder, "evaluate tissue").get("other noise")
        if not told:
            raise DataError(
                f"{folder} completes no labels", 'no "other noise" in its score.json', "Score a label_completion"
            )
        rows.append({"of": name} | told)
    same = {row["same"] for row in rows if row["noise"]}
    if len(same) > 1:
        raise DataError(
            "the models were given other labels, or other noise",
            ", ".join(f"{row['of']}: {row['same']}" for row in rows),
            "Score them with one tissue.store, split, samples and seed",
        )
    real = float(np.mean([row["real_apart"] for row in rows]))
    values = {row["of"]: row["apart"] for row in rows} | {"real, two images": real}
    errors = {row["of"]: row["apart_sd"] for row in rows}
    drawn = _bars({"apart": values}, "1 - IU of two of other noise [no unit]", errors)
    caption = (
        f"Means over {rows[0]['images']} images, each made {rows[0]['draws']} times, with the spread over images. "
        "Without a noise image there is nothing to tell two draws apart but dropout and added noise."
    )
    yield Drawn("noise_distances", "Figure 14: how different they are", caption, drawn, rows)


def support_sizes(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Least distance of two samples against the size of the batch."""
    rows: list[Row] = []
    for name, folder in asked.settings.scores.items():
        path = Path(folder) / "support.csv"
        if not path.is_file():
            yield LeftOut(f"Figure 15: support size: {name}", f"no {path}")
            continue
        for row in csv.read_csv(path).to_pylist():
            of = name if row["of"] == "made" else f"{row['of']}, cells"
            rows.append(row | {"of": of})
    rows = list({(row["of"], row["run"], row["batch"]): row for row in rows}.values())
    if rows:
        kinds = dict.fromkeys(row["of"] for row in rows)
        points = {of: [(row["batch"], row["least 1 - IU"]) for row in rows if row["of"] == of] for of in kinds}
        caption = (
            "Points are runs, lines their means; dotted: two that are alike. Models: label images of noise images of "
            "2 x 2. Cells: single cells of real images and of the parametric model."
        )
        yield Drawn("support", "Figure 15: support size", caption, least_distances_plot(points), rows)


def gradients(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Part of the slope of the pair critic's loss that is along labels, along training."""
    rows: list[Row] = []
    for name, run in asked.settings.runs.items():
        found = [
            {"run": name, "images_seen": line["images_seen"], "share": value}
            for line in read_lines(asked.kept("runs", run))
            for key, value in line.get("metrics", {}).items()
            if key.endswith(SHARE)
        ]
        if not found:
            raise DataError(f"{run} has no gradient shares", f"no {SHARE}", "Train it with method.gradient_shares=true")
        rows += found
    drawn = figure(4.8, 3.2)
    axis = drawn.subplots()
    for number, name in enumerate(asked.settings.runs):
        own = [row for row in rows if row["run"] == name]
        seen, shares = [row["images_seen"] for row in own], [row["share"] for row in own]
        axis.plot(seen, shares, ".-", ms=3, lw=1, color=COLOURS[number % len(COLOURS)], label=name)
    axis.set_ylim(0, 1)
    tidy(axis, "images seen", "slope along labels [share]")
    legend(drawn, axis)
    caption = "Near 1 the pair critic looks at the labels alone, and the image is taught nothing (eq. 5)."
    yield Drawn("gradients", "Figure 16: gradient along labels", caption, drawn, rows)


def _told(folder: str, verb: str) -> Row:
    path = Path(folder) / "score.json"
    if not path.is_file():
        raise MissingError(f"there is no score at {folder}", "no score.json", f"Make it by distgan {verb} --out")
    found: Row = json.loads(path.read_text(encoding="utf-8"))
    return found


def _rows(asked: Asked, table: str) -> Iterator[tuple[str, Row]]:
    """Baselines of the first score, then what is made of each."""
    of_models = []
    for number, (name, folder) in enumerate(asked.settings.scores.items()):
        found = _told(folder, "evaluate tissue").get(table)
        if not found:
            raise DataError(
                f"{folder} is no score of tissue", f"it has no {table!r}", "Name what evaluate tissue wrote"
            )
        if not number:
            yield from ((one, found[one]) for one in BASELINES if one in found)
        if "made" in found:
            of_models.append((name, found["made"]))
    yield from of_models


def _bars(
    groups: Mapping[str, Mapping[str, float | None]], unit: str, errors: Mapping[str, float] | None = None
) -> Figure:
    """Beside each other, for each name, a bar of each group; what is None has none."""
    names = list(dict.fromkeys(name for of in groups.values() for name in of))
    drawn = figure(max(3.6, 1.2 + 0.55 * len(names)), 3.4)
    axis = drawn.subplots()
    width = 0.8 / len(groups)
    for number, (group, of) in enumerate(groups.items()):
        known = [(place, of[name]) for place, name in enumerate(names) if of.get(name) is not None]
        places = [place + number * width for place, _ in known]
        bars = [float(value) for _, value in known if value is not None]
        spread: Sequence[float] | None = [errors.get(names[place], 0.0) for place, _ in known] if errors else None
        axis.bar(places, bars, 0.9 * width, yerr=spread, color=COLOURS[number], label=group, error_kw={"lw": 0.8})
    axis.set_xticks(np.arange(len(names)) + 0.4 - width / 2, names, rotation=30, ha="right", fontsize=7)
    tidy(axis, "", unit)
    axis.set_ylim(0, None)
    if len(groups) > 1:
        legend(drawn, axis)
    return drawn
