"""Figures 9 and 10: how good classifiers get, how alike over repeats, with how many labels, by a `[fractions]` sweep.

The paper's precision and recall are of one class, here the recipe's positive one. Bars and bands are the standard
deviation over repeats (and folds): other labels drawn and other first weights, judged on the same images.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from distgan.figures.wang.sweep import Row, Sweep, labels_of, over_repeats, read_sweep, summary
from distgan.plots.figure_look import COLOURS, figure, grouped, legend, spread, tidy
from distgan.plots.figure_set import Asked, Drawn, LeftOut
from distgan.plots.image_plots import spaced
from storage.errors import RecipeError


def training(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Figure 9: with all labels and with few, at the end and along training."""
    sweep, shares = read_sweep(asked), asked.settings.shares
    if unknown := [share for share in shares if share not in sweep.shares]:
        found = f"{unknown[0]:g}; it has {', '.join(f'{share:g}' for share in sweep.shares)}"
        raise RecipeError("figures.shares names a share that was not trained", found, "Name two of these")
    yield _at_the_end(sweep, shares)
    own = [row for row in sweep.history if row["share"] in shares]
    if len({row["images_seen"] for row in own}) < 3:
        reason = "the sweep was evaluated at its ends alone: lower evaluate.every_images"
        yield LeftOut("Figure 9, along training, and its stability", reason)
    else:
        yield _along(sweep, shares, own)
        yield _stability(sweep, shares, own)


def _at_the_end(sweep: Sweep, shares: Sequence[float]) -> Drawn:
    drawn = figure(8.2, 3.0)
    axes = drawn.subplots(1, 3, sharey=True)
    rows = [row for row in sweep.ends if row["share"] in shares]
    for axis, name in zip(axes, sweep.metrics, strict=True):
        for group, share in enumerate(shares):
            for number, variant in enumerate(sweep.variants):
                own = [row[name] for row in rows if (row["variant"], row["share"]) == (variant, share)]
                known = np.asarray([value for value in own if np.isfinite(value)])
                place = group + (number - (len(sweep.variants) - 1) / 2) * 0.8 / len(sweep.variants)
                _column(axis, place, known, COLOURS[number % len(COLOURS)], variant if group == 0 else "")
        axis.set_xticks(range(len(shares)), [labels_of(rows, share) for share in shares])
        axis.set_xlim(-0.6, len(shares) - 0.4)
        tidy(axis, "", "share [no unit]" if axis is axes[0] else "", name)
    axes[0].margins(y=0.1)
    if np.isfinite(sweep.majority):
        axes[0].axhline(sweep.majority, color="0.5", linestyle=":", linewidth=1)
        axes[0].text(len(shares) - 0.42, sweep.majority, "majority", fontsize=6.5, color="0.4", ha="right", va="bottom")
    legend(drawn, axes[0])
    return Drawn(
        "figure-09",
        "Figure 9: all labels and few",
        f"At the end of training: each point is a training ({sweep.told}), lines are mean and standard deviation over "
        "repeats, dotted is who always says the most frequent class. A precision without any hit has no value and is "
        "left out.",
        drawn,
        rows,
        sweep.sources,
    )


def _column(axis: Axes, place: float, values: np.ndarray[Any, Any], colour: str, label: str) -> None:
    """Points and their mean, with the standard deviation and both numbers."""
    if not len(values):
        return
    beside = place + (np.linspace(-0.08, 0.08, len(values)) if len(values) > 1 else np.zeros(1))
    axis.scatter(beside, values, s=10, color=colour, alpha=0.55, linewidth=0)
    mean, apart = values.mean(), spread(values)
    axis.errorbar(place, mean, apart, color=colour, marker="_", markersize=14, capsize=3, linewidth=1.2, label=label)
    above: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, 5), "ha": "center", "fontsize": 7}
    axis.annotate(f"{mean:.2f}", (place, max(values.max(), mean + apart)), color=colour, **above)


def _along(sweep: Sweep, shares: Sequence[float], rows: Sequence[Row]) -> Drawn:
    drawn = figure(8.2, 4.6)
    axes = drawn.subplots(2, 3, sharex=True, sharey=True)
    table: list[Row] = []
    for line, share in enumerate(shares):
        for axis, name in zip(axes[line], sweep.metrics, strict=True):
            for number, variant in enumerate(sweep.variants):
                own = [row for row in rows if (row["variant"], row["share"]) == (variant, share)]
                seen, means, apart = over_repeats(own, name)
                colour = COLOURS[number % len(COLOURS)]
                axis.fill_between(seen / 1000, means - apart, means + apart, color=colour, alpha=0.2, linewidth=0)
                axis.plot(seen / 1000, means, color=colour, linewidth=1.4, label=variant)
                table += [
                    {
                        "variant": variant,
                        "share": share,
                        "metric": name,
                        "images_seen": int(at),
                        "mean": mean,
                        "spread": sd,
                    }
                    for at, mean, sd in zip(seen, means.tolist(), apart.tolist(), strict=True)
                ]
            x = "images trained on [thousands]" if line == len(shares) - 1 else ""
            y = f"{labels_of(rows, share)}\nshare [no unit]" if axis is axes[line, 0] else ""
            tidy(axis, x, y, "" if line else name)
    axes[0, 0].set_ylim(0, 1.02)
    legend(drawn, axes[0, 0])
    return Drawn(
        "figure-09-training",
        "Figure 9, along training",
        f"Lines: means over {sweep.told}; bands: plus and minus a standard deviation.",
        drawn,
        table,
        sweep.sources,
    )


def _stability(sweep: Sweep, shares: Sequence[float], rows: Sequence[Row]) -> Drawn:
    drawn = figure(8.2, 2.9)
    axes = drawn.subplots(1, 3, sharey=True)
    table: list[Row] = []
    for axis, name in zip(axes, sweep.metrics, strict=True):
        for share, dashes in zip(shares, ("-", "--"), strict=True):
            for number, variant in enumerate(sweep.variants):
                own = [row for row in rows if (row["variant"], row["share"]) == (variant, share) and row["images_seen"]]
                seen, _, apart = over_repeats(own, name)
                label = f"{variant}, {labels_of(rows, share)}"
                axis.plot(seen / 1000, apart, dashes, color=COLOURS[number % len(COLOURS)], linewidth=1.4, label=label)
                table += [
                    {"variant": variant, "share": share, "metric": name, "images_seen": int(at), "spread": sd}
                    for at, sd in zip(seen, apart.tolist(), strict=True)
                ]
        tidy(axis, "images trained on [thousands]", "spread [standard deviation]" if axis is axes[0] else "", name)
    axes[0].set_ylim(bottom=0)
    legend(drawn, axes[0])
    return Drawn(
        "figure-09-stability",
        "Figure 9, stability",
        f"The standard deviation over {sweep.told}, along training, from the first evaluation after its "
        "beginning: low is alike from run to run.",
        drawn,
        table,
        sweep.sources,
    )


def fewer_labels(asked: Asked) -> Iterator[Drawn]:
    """Figure 10: means and standard deviations against the number of labels."""
    sweep = read_sweep(asked)
    drawn = figure(8.2, 3.1)
    axes = drawn.subplots(1, 3, sharey=True)
    table: list[Row] = []
    ticks = sorted({round(np.mean([row["labels"] for row in own])) for own in grouped(sweep.ends, "share").values()})
    for axis, name in zip(axes, sweep.metrics, strict=True):
        for number, variant in enumerate(sweep.variants):
            own = [row for row in sweep.ends if row["variant"] == variant]
            found = [summary(rows, variant, name) for rows in grouped(own, "share").values()]
            table += found
            columns = ([row[key] for row in found] for key in ("labels", "mean", "spread"))
            labels, means, apart = (np.asarray(column, np.float64) for column in columns)
            colour = COLOURS[number % len(COLOURS)]
            axis.errorbar(
                labels * 1.02**number,
                means,
                apart,
                color=colour,
                marker="o",
                markersize=3,
                linewidth=1.2,
                capsize=2,
                label=variant,
            )
        axis.set_xscale("log")
        axis.set_xticks(ticks, spaced(ticks))
        axis.set_xticks([], minor=True)
        tidy(axis, "labels trained on", "share [no unit]" if axis is axes[0] else "", name)
    legend(drawn, axes[0])
    caption = f"Means over {sweep.told}, with the standard deviation over repeats as bars."
    yield Drawn("figure-10", "Figure 10: ever fewer labels", caption, drawn, table, sweep.sources)
