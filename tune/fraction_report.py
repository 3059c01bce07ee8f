"""What a fraction sweep has found: a table, paired differences, learning curves, and their picture.

Intervals hold 95 %, by a bootstrap. The sign test counts in how many repeats (and folds) a variant was the better; they
share the samples held out, so it speaks of training on other labels, not of other embryos.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binomtest

from distgan.config.fraction_sections import Fractions
from distgan.monitoring.terminal import table
from distgan.plots.image_plots import spaced
from storage.csv_table import as_csv
from storage.durable import write_file
from tune.fraction_results import Results
from tune.intervals import expanded_percentiles
from tune.learning_curve import LearningCurve, fitted

CURVES = 300
"""Resamples to which a curve is fitted."""
Floats = NDArray[np.float64]
Report = dict[str, Any]


def report_of(results: Results, fractions: Fractions, interval: str) -> Report:
    """Everything a sweep has found so far, as JSON values.  interval: over what the bootstrap goes, in words."""
    means, differences = results.bootstrap()
    return {
        "metric": fractions.metric,
        "direction": fractions.direction,
        "interval": interval,
        "table": [
            _row(results, means, variant, share)
            for variant in range(len(results.variants))
            for share in np.argsort(results.label_counts)
        ],
        "differences": [
            _difference(results, differences, variant, share, fractions.direction)
            for variant in range(len(results.variants) - 1)
            for share in np.argsort(results.label_counts)
        ],
        "curves": [_curve(results, means, variant, fractions) for variant in range(len(results.variants))],
    }


def _row(results: Results, means: Floats, variant: int, share: int) -> Report:
    own = results.values[variant, share]
    by_repeat = [float(np.mean(one[np.isfinite(one)])) for one in own if np.isfinite(one).any()]
    return {
        "variant": results.variants[variant],
        "share": results.shares[share],
        "labels": float(results.label_counts[share]),
        "mean": _number(results.means()[variant, share]),
        **_interval(means[variant, share], results, len(by_repeat)),
        "spread": float(np.std(by_repeat, ddof=1)) if len(by_repeat) > 1 else None,
        "least": min(by_repeat, default=None),
        "most": max(by_repeat, default=None),
        "trained": int(np.isfinite(own).sum()),
        "failed": int(results.failed[variant, share]),
    }


def _difference(results: Results, resampled: Floats, variant: int, share: int, direction: str) -> Report:
    own = results.differences()[variant, share]
    pairs = own[np.isfinite(own)]
    better, worse = int((pairs > 0).sum()), int((pairs < 0).sum())
    if direction == "min":
        better, worse = worse, better
    return {
        "variant": results.variants[variant + 1],
        "against": results.variants[0],
        "share": results.shares[share],
        "labels": float(results.label_counts[share]),
        "difference": float(pairs.mean()) if len(pairs) else None,
        **_interval(resampled[variant, share], results, len(pairs)),
        "better": better,
        "worse": worse,
        "ties": len(pairs) - better - worse,
        "sign_test_p": float(binomtest(better, better + worse).pvalue) if better + worse else None,
    }


def _curve(results: Results, means: Floats, variant: int, fractions: Fractions) -> Report:
    labels, own = results.label_counts, means[variant]
    weights = 1 / np.maximum(np.nanvar(own, axis=1), 1e-12) if np.isfinite(own).all() else None
    curve = fitted(labels, results.means()[variant], weights)
    found: Report = {"variant": results.variants[variant], "a": None, "b": None, "c": None}
    if curve is None:
        return found
    found |= {name: getattr(curve, name) for name in ("a", "b", "c", "fewest", "most")}
    if fractions.target is None:
        return found
    curves = [fitted(labels, column, weights) for column in own.T[:CURVES]]
    counts = [one.needed(fractions.target, fractions.direction) for one in curves if one is not None]
    low, high = np.quantile(counts, (0.025, 0.975), method="nearest") if counts else (np.nan, np.nan)
    needed = curve.needed(fractions.target, fractions.direction)
    return found | {
        "target": fractions.target,
        "labels_needed": _number(needed),
        "labels_needed_low": _number(low),
        "labels_needed_high": _number(high),
        "reached_by": sum(np.isfinite(counts)) / len(counts) if counts else None,
        "extrapolated": bool(curve.most < needed < np.inf),
    }


def _interval(resampled: Floats, results: Results, trained: int) -> Report:
    """95 %, by what was drawn again; nothing where that was one thing."""
    units = results.units if results.resampled is not None else min(results.units, trained)
    known = resampled[np.isfinite(resampled)]
    if units < 2 or not len(known):
        return {"low": None, "high": None}
    low, high = expanded_percentiles(known, units)
    return {"low": low, "high": high}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def write_report(folder: Path, report: Report) -> list[Path]:
    """fractions.json, fractions.csv (the table and the differences) and fractions.png in the folder."""
    files = {
        "fractions.json": (json.dumps(report, indent=1) + "\n").encode(),
        "fractions.csv": as_csv(report["table"]),
        "differences.csv": as_csv(report["differences"]),
        "fractions.png": _png(learning_curves(report)),
    }
    for name, data in files.items():
        write_file(folder / name, data)
    return [folder / name for name in files]


def as_text(report: Report) -> str:
    """The table, the differences and the labels needed, for people."""
    parts = [table([_brief(row, "mean") for row in report["table"]])]
    if report["differences"]:
        parts.append(table([_brief(row, "difference") for row in report["differences"]]))
    for curve in report["curves"]:
        if curve.get("target") is not None:
            needed, low, high = (
                "endless" if curve[name] is None else f"{curve[name]:,.0f}"
                for name in ("labels_needed", "labels_needed_low", "labels_needed_high")
            )
            beyond = ", extrapolated" if curve["extrapolated"] else ""
            parts.append(f"{curve['variant']}: {curve['target']:g} needs {needed} labels [{low}, {high}]{beyond}")
    return "\n\n".join([f"{report['metric']}, 95 % intervals over {report['interval']}", *parts])


def _brief(row: Report, value: str) -> dict[str, str]:
    found: dict[str, str] = {key: row[key] for key in ("variant", "against") if key in row}
    found |= {"share": f"{row['share']:g}", "labels": f"{row['labels']:,.0f}", value: _short(row[value])}
    found["interval"] = f"[{_short(row['low'])}, {_short(row['high'])}]"
    if value == "mean":
        return found | {"spread": _short(row["spread"]), "trained": str(row["trained"]), "failed": str(row["failed"])}
    return found | {"better": f"{row['better']} of {row['better'] + row['worse']}", "p": _short(row["sign_test_p"])}


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data)
    return data.getvalue()


def learning_curves(report: Report) -> Figure:
    """The metric against the labels: means with their intervals as bands, spread over repeats as bars, fits dashed."""
    figure = Figure(figsize=(6.4, 4.2), dpi=150, layout="constrained")
    axis = figure.subplots()
    for number, curve in enumerate(report["curves"]):
        rows = [row for row in report["table"] if row["variant"] == curve["variant"] and row["mean"] is not None]
        if not rows:
            continue
        colour = f"C{number}"
        labels = np.asarray([row["labels"] for row in rows])
        means = [row["mean"] for row in rows]
        axis.errorbar(
            labels * 1.01**number,  # beside one another
            means,
            [row["spread"] or 0.0 for row in rows],
            color=colour,
            marker="o",
            markersize=3,
            linewidth=1,
            elinewidth=0.6,
            label=f"{curve['variant']} (bars: spread over repeats)",
        )
        bands = [row for row in rows if row["low"] is not None]
        axis.fill_between(
            [row["labels"] for row in bands],
            [row["low"] for row in bands],
            [row["high"] for row in bands],
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
        if curve["a"] is not None:
            fit = LearningCurve(*(curve[name] for name in ("a", "b", "c", "fewest", "most")))
            more = np.geomspace(labels.min(), labels.max(), 100)
            axis.plot(more, fit.at(more), color=colour, linestyle="--", linewidth=0.8)
    target = report["curves"][0].get("target")
    if target is not None:
        axis.axhline(target, color="0.4", linestyle=":", linewidth=1, label=f"target {target:g}")
    axis.set_xscale("log")
    ticks = sorted({round(row["labels"]) for row in report["table"]})
    axis.set_xticks(ticks, spaced(ticks), fontsize=7)
    axis.set_xticks([], minor=True)
    axis.set_xlabel("labelled samples trained on [samples]")
    axis.set_ylabel(f"{report['metric']} [no unit]")
    axis.set_title(f"bands: 95 % interval over {report['interval']}", fontsize=8)
    axis.legend(fontsize=7)
    return figure
