"""A model's card: what a person must know before using it, out of what the model says of itself."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distgan.evaluations import load_evaluation
from distgan.model import CARD
from storage.datasets import dataset_names, load_dataset
from storage.errors import DataError, DistganError
from storage.manifest import listed

UNKNOWN = "not given: set register.licence"
USE = "images such as those it was trained on, in research; not for diagnosis"


def headline(recipe: Mapping[str, Any]) -> tuple[str, bool]:
    """The number a model is judged by, of held-out images, and whether less is better.  recipe: of its run."""
    evaluate = recipe["evaluate"]
    own = [load_evaluation(name) for name in evaluate["metrics"]]
    best = evaluate.get("best") or "headline"
    metric = (own[0].headline if best == "headline" else str(best)).removeprefix("validation/")
    return metric, any(metric.rpartition("/")[2] in one.lower for one in own)


def numbers(metrics: Mapping[str, float], metric: str) -> dict[str, float]:
    """A number, the ends of its interval, and all that stands beside it: floors, untrained networks, baselines."""
    ends = (metric, *(f"{metric}_{suffix}" for suffix in ("low", "high", "floor", "untrained")))
    beside = [name for name in metrics if name.endswith(f"/{metric}") and not name.startswith("validation/")]
    return {name: metrics[name] for name in (*ends, *beside) if name in metrics}


def image_store(card: Mapping[str, Any]) -> Path | None:
    """Where the image store lies that a model's samples were cut from, if beside the patch store; by its digest."""
    folder = Path(card["recipe"]["data"]["store"]).parent
    for path in sorted(folder.glob("*/MANIFEST.json")):
        try:
            if listed(path.parent).digest == card.get("image_store"):
                return path.parent
        except (DistganError, OSError):
            continue
    return None


def licence(card: Mapping[str, Any]) -> str:
    """Of the data a model was trained on: as its recipe says, or as the known data set does."""
    if said := card["recipe"]["register"].get("licence"):
        return str(said)
    store = image_store(card)
    name = listed(store).facts.get("source", "") if store else ""
    return load_dataset(name).ABOUT.licence if name in dataset_names() else UNKNOWN


def text(card: Mapping[str, Any]) -> str:
    """The card as Markdown.  card: the model's model.json.  Raises DataError: it does not say what a card says."""
    try:
        return "\n".join(_lines(card)) + "\n"
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            "the model does not say what it is",
            f"{CARD} is not as training writes it: {type(error).__name__} {error}",
            "Take another version, or train and register it again",
        ) from None


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    recipe = card["recipe"]
    metric, lower = headline(recipe)
    edges = " x ".join(str(edge) for edge in card["image_shape"][1:])
    yield f"# {recipe['register'].get('name') or recipe['run']['name']}"
    yield ""
    yield f"- Method: {card['method']}, {card['images_seen']:,} images seen, seed {recipe['run']['seed']}"
    size = " x ".join(f"{edge:g}" for edge in card["pixel_um"] if edge) or "unknown"
    yield f"- Images: {edges} pixels of {', '.join(card['channels'])}, {card['dtype']}, micrometres of a pixel: {size}"
    yield f"- Trained on: patch store {card['patch_store']}, cut from image store {card['image_store']}"
    split = recipe["data"].get("split")
    yield f"- Held out: {split['by'] if split else 'nothing'}"
    yield f"- Licence of the data: {licence(card)}"
    yield f"- Intended use: {recipe['register'].get('intended_use') or USE}"
    for network, init in recipe.get("init", {}).items():
        yield f"- {network} began as that of {init['address'] or init['model']} ({init['digest'][:12]})"
    yield ""
    yield f"| {metric}, {'less' if lower else 'more'} is better | |"
    yield "|---|---|"
    for name, value in numbers(card["metrics"], metric).items():
        yield f"| {name} | {value:.5g} |"
