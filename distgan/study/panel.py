"""The page that people are shown, and the key to it, which is kept from them.

Real and made images go the same way: to the values of the real ones, through one contrast, to 8 bits, to PNG without
compression, so that neither a file's length nor its name, date or order tells which it is. The pixels alone do.
"""

import base64
import hashlib
import html
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from distgan.data.batches import from_unit_range
from distgan.data.image_sets import ImageSet, feed_of, made_by, unit_range, unseen
from distgan.model import Model
from distgan.plots.pictures import colours_of, composite, is_rgb
from storage.durable import staged
from storage.errors import RecipeError
from storage.patches import Patches, PatchStore
from storage.sampler import Indices

PAGE, KEY = "study.html", "key.json"
QUANTILES = 0.1, 99.9
"""Percentiles of the real images that are shown as black and white."""
FEW_VALUES = 16
"""Images of no more different values are label images: shown from the least to the greatest."""
TITLE = "Real or generated?"


@dataclass(frozen=True)
class Panel:
    """What is shown.  number: images, of which `share` are made.  examples: more, shown before, with the truth.

    seconds: for which each is shown; 0 is until it is judged.
    """

    number: int = 100
    share: float = 0.5
    examples: int = 0
    seconds: float = 0.0
    title: str = TITLE
    seed: int = 0


@dataclass(frozen=True)
class _Shown:
    """Images of one kind.  values: N C H W as the real ones are stored.  origins: row, or file, or number of each."""

    values: Patches
    origins: Sequence[Any]


def write_study(real: ImageSet, made: Model | ImageSet, panel: Panel, out: Path) -> dict[str, Any]:
    """Write the page and the key to a new folder, and return what there is to say of them.

    Raises RecipeError: there are too few images, they do not fit each other, or something stands at `out`.
    """
    count = _made_count(panel)
    random = np.random.Generator(np.random.Philox(key=[panel.seed, 7]))
    half = panel.examples // 2
    counts = panel.number - count + panel.examples - half, count + half
    rows, which = unseen(real, made, counts[0])
    if len(rows) < counts[0]:
        raise RecipeError(
            "there are too few real images", f"{len(rows)} at {real.path}, and {counts[0]} are wanted", "Lower --number"
        )
    rows = random.permutation(rows)
    shown = _Shown(_read(real, rows[: counts[0]]), _origins(real, rows[: counts[0]]))
    others = _made(real, made, rows, counts, panel.seed, random)
    pictures, limits = _pictures(shown.values, others.values, real.channels)
    truths = np.repeat([False, True], counts)
    origins = [*shown.origins, *others.origins]
    examples = [*range(panel.examples - half), *range(counts[0], counts[0] + half)]
    judged = random.permutation(np.setdiff1d(np.arange(len(truths)), examples)).tolist()
    names = _names(panel.number, random)
    told = {
        "width": pictures[0].shape[1],
        "height": pictures[0].shape[0],
        "seconds": panel.seconds,
        "images": [{"id": name, "png": _png(pictures[at])} for name, at in zip(names, judged, strict=True)],
        "examples": [{"made": bool(truths[at]), "png": _png(pictures[at])} for at in examples],
    }
    study = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    facts = {
        "study": study,
        **asdict(panel),
        "made": count,
        "real images": str(real.path),
        "real digest": real.digest if isinstance(real, PatchStore) else None,
        "drawn from": which,
        "made images": f"model {made.digest}" if isinstance(made, Model) else str(made.path),
        "contrast": dict(zip(real.channels, limits, strict=True)),
    }
    truth = [
        {"id": name, "made": bool(truths[at]), "origin": origins[at]} for name, at in zip(names, judged, strict=True)
    ]
    with staged(out) as partial:
        (partial / PAGE).write_text(_page(panel.title, told | {"id": study}), encoding="utf-8")
        (partial / KEY).write_text(json.dumps(facts | {"key": truth}, indent=1) + "\n", encoding="utf-8")
    return facts


def _made_count(panel: Panel) -> int:
    """How many of the images to be judged are made.  Raises RecipeError: the panel cannot be meant."""
    if min(panel.examples, panel.seconds, panel.seed) < 0:
        raise RecipeError(
            "there cannot be less than nothing",
            f"{panel.examples} examples, {panel.seconds} s, seed {panel.seed}",
            "Set --examples, --seconds and --seed to 0 or more",
        )
    count = round(panel.number * panel.share)
    if not 0 < count < panel.number:
        raise RecipeError(
            "people must be shown both real and made images",
            f"{count} of {panel.number} would be made",
            "Choose another --share, or a larger --number",
        )
    return count


def _read(images: ImageSet, rows: Indices) -> Patches:
    """Images in the order of the rows, as they are stored."""
    order = np.argsort(rows)
    return images.read(rows[order])[np.argsort(order)]


def _origins(images: ImageSet, rows: Indices) -> list[Any]:
    if isinstance(images, PatchStore):
        return rows.tolist()
    return [images.obs.column("file")[row].as_py() for row in rows.tolist()]


def _made(
    real: ImageSet,
    made: Model | ImageSet,
    rows: Indices,
    counts: tuple[int, int],
    seed: int,
    random: np.random.Generator,
) -> _Shown:
    """Made images in the values of the real ones. A model that looks at images is given others than are shown."""
    if isinstance(made, Model):
        like = rows[counts[0] :][: counts[1]] if len(rows) > counts[0] else rows
        images = made_by(made, feed_of(real, np.sort(like), made), counts[1], seed)
        origins: list[Any] = list(range(counts[1]))
    else:
        if made.shape[1:] != real.shape[1:] or made.shape[0] < counts[1]:
            raise RecipeError(
                f"the images of {made.path} cannot be shown among those of {real.path}",
                f"{made.shape[0]} of C H W = {made.shape[1:]}; wanted are {counts[1]} of {real.shape[1:]}",
                "Give images of one shape, or lower --number",
            )
        chosen = random.permutation(made.shape[0])[: counts[1]]
        order = np.argsort(chosen)
        images = unit_range(made, chosen[order], real.value_range)[np.argsort(order)]
        origins = _origins(made, chosen)
    return _Shown(from_unit_range(images.clamp(-1, 1), real.value_range, real.dtype), origins)


def _pictures(
    real: Patches, made: Patches, channels: Sequence[str]
) -> tuple[list[NDArray[np.uint8]], list[tuple[float, float]]]:
    """All images as H W or H W 3 of 8 bits, and what is black and white in each channel."""
    if real.ndim != 4:
        raise RecipeError("volumes cannot be shown", f"N C D H W = {real.shape}", "Prepare two-dimensional samples")
    limits = [_limits(real if is_rgb(channels) else real[:, at]) for at in range(real.shape[1])]
    colours = colours_of(channels)
    shown = [np.rint(255 * composite(one, limits, colours)).astype(np.uint8) for one in (*real, *made)]
    return [one[..., 0] if len(channels) == 1 else one for one in shown], limits


def _limits(values: Patches) -> tuple[float, float]:
    if len(np.unique(values)) <= FEW_VALUES:
        low, high = float(values.min()), float(values.max())
    else:
        low, high = (float(edge) for edge in np.percentile(values, QUANTILES))
    return low, high if high > low else low + 1


def _png(picture: NDArray[np.uint8]) -> str:
    """Nothing but the pixels, and as many bytes for every picture of a size."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=0)
    return base64.b64encode(stream.getvalue()).decode()


def _names(count: int, random: np.random.Generator) -> list[str]:
    """Names that tell nothing, all different."""
    return [random.bytes(3).hex() + f"{number:04x}" for number in random.permutation(count)]


def _page(title: str, study: dict[str, Any]) -> str:
    """The page, which needs nothing around it."""
    text, style, script = (
        Path(__file__).with_name(f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js")
    )
    parts = {
        "title": html.escape(title),
        "style": style,
        "script": script,
        "study": json.dumps(study).replace("<", "\\u003c"),
    }
    for name, part in parts.items():
        text = text.replace("{{" + name + "}}", part)
    return text
