"""What the weights of both critics do: trials of `cells_gamma`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from distgan.monitoring.tracking import final_metrics
from distgan.plots.figure_look import figure
from distgan.plots.figure_set import Asked, Drawn
from distgan.plots.heat_map import heat_map
from storage.errors import DataError

CODE, IMAGE = "method.code_weight", "method.image_weight"
METRICS = {
    "normality": "codes' distance from N(0, 1)\n[Kolmogorov-Smirnov, no unit]",
    "kid": "KID of images of drawn codes\n[squared discrepancy, no unit]",
    "psnr": "held-out cells made again\n[PSNR, dB]",
}


def weights(asked: Asked) -> Iterator[Drawn]:
    """A table of colours for each measure.  Raises DataError: the search has no ended trials over both weights."""
    folder = asked.kept("searches", asked.settings.search)
    rows = [_row(trial) for trial in sorted(folder.glob("trials/*")) if (trial / "result.json").exists()]
    rows = [row for row in rows if row]
    shown = [name for name in METRICS if any(np.isfinite(row[name]) for row in rows)]
    if not shown:
        raise DataError(
            f"{folder} has no trials to show", f"none over {CODE} and {IMAGE}", "Name a search such as cells_gamma"
        )
    codes, images = (sorted({row[key] for row in rows}) for key in (CODE, IMAGE))
    drawn = figure(3.1 * len(shown) + 0.6, 0.62 * len(codes) + 1.5)
    for number, (axis, name) in enumerate(zip(drawn.subplots(1, len(shown), squeeze=False)[0], shown, strict=True)):
        values, texts = np.full((len(codes), len(images)), np.nan), [[""] * len(images) for _ in codes]
        for place in np.ndindex(values.shape):
            at = {CODE: codes[place[0]], IMAGE: images[place[1]]}
            own = [row[name] for row in rows if at.items() <= row.items() and np.isfinite(row[name])]
            if own:
                values[place] = np.mean(own)
                texts[place[0]][place[1]] = f"{values[place]:.3g}" + (f"\nof {len(own)}" if len(own) > 1 else "")
        down, beside = ([f"{one:g}" for one in some] for some in (codes, images))
        heat_map(axis, values, down, beside, texts, colours="YlGnBu" if name == "psnr" else "YlGnBu_r", size=9)
        axis.set_xlabel(r"weight of the image critic, $\gamma_\mathrm{Dec}$", fontsize=8)
        axis.set_ylabel("" if number else r"weight of the code critic, $\gamma_\mathrm{Enc}$", fontsize=8)
        axis.set_title(METRICS[name], fontsize=8)
    yield Drawn(
        "weights",
        "What the critics' weights do",
        f"{len(rows)} runs of phase 1, at their end; dark is better. gamma_Enc is to show in the codes, gamma_Dec in "
        "images of drawn codes; the third is what that costs. One run of each unless a number says more: differences "
        "are not tested.",
        drawn,
        rows,
    )


def _row(trial: Path) -> dict[str, Any]:
    """Weights and last measures of a trial; nothing where it has no such weights."""
    point = json.loads((trial / "trial.json").read_text(encoding="utf-8"))["point"]
    if not {CODE, IMAGE} <= point.keys():
        return {}
    found = final_metrics(trial)
    return {CODE: point[CODE], IMAGE: point[IMAGE], **{name: found.get(name, float("nan")) for name in METRICS}}
