"""A trained model as a folder: weights in safetensors, everything else in JSON. Nothing in it can run code.

MODEL/weights.safetensors   the averaged networks, and the others as they were last
MODEL/model.json            method, recipe, image shape, channels, range, provenance, metrics
MODEL/MANIFEST.json         lengths and digests, checked before any weight is used
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.engine.trainer import Trainer
from distgan.method import Method, Sample, build
from distgan.methods import load_method
from storage.errors import DataError, RecipeError
from storage.manifest import check_digests, committed, read_manifest
from storage.patches import PatchStore

KIND = "model"
WEIGHTS = "weights.safetensors"
CARD = "model.json"


@dataclass(frozen=True)
class Model:
    """A model ready for use.  card: what model.json says.  digest: of the folder."""

    method: Method
    config: AnyRun
    card: dict[str, Any]
    digest: str

    @property
    def value_range(self) -> tuple[float, float]:
        """The stored values that mean black and white."""
        low, high = self.card["value_range"]
        return low, high

    def check_samples(self, store: PatchStore) -> None:
        """Raise RecipeError where the samples of a store have another shape, other channels or another dtype."""
        wanted = (tuple(self.card["image_shape"]), tuple(self.card["channels"]), self.card["dtype"])
        found = (store.shape[1:], store.channels, store.dtype)
        if wanted != found:
            raise RecipeError(
                f"the model was not trained on samples such as those of {store.path}",
                " and ".join(f"{dtype} {shape} of {', '.join(channels)}" for shape, channels, dtype in (wanted, found)),
                "Prepare them as those it was trained on",
            )


def save_model(target: Path, trainer: Trainer, store: PatchStore, metrics: dict[str, float], state_sha256: str) -> None:
    """Write the model of a finished run."""
    networks = {
        name: (trainer.average if name in trainer.method.averaged else trainer.method).network(name)
        for name in trainer.method.networks
    }
    weights = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    card = {
        "method": trainer.config.method.name,
        "recipe": trainer.config.dump(),
        "image_shape": list(trainer.method.sample.shape),
        "channels": list(store.channels),
        "classes": trainer.method.sample.classes,
        "labels": list(trainer.method.sample.labels),
        "dtype": store.dtype,
        "value_range": list(store.value_range),
        "pixel_um": list(store.pixel_um),
        "patch_store": store.digest,
        "made_store": trainer.feed.made,
        "image_store": store.manifest.facts["source"],
        "images_seen": trainer.images_seen,
        "state_sha256": state_sha256,
        "metrics": metrics,
    }
    with committed(target, KIND, {"method": card["method"], "state_sha256": card["state_sha256"]}) as partial:
        (partial / WEIGHTS).write_bytes(save(weights))
        (partial / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _sample(card: dict[str, Any]) -> Sample:
    classes = {name: tuple(map(str, names)) for name, names in card.get("classes", {}).items()}
    return Sample(
        tuple(int(edge) for edge in card["image_shape"]),
        tuple(card["channels"]),
        classes,
        labels=tuple(card.get("labels", ())),
    )


def load_model(folder: Path) -> Model:
    """Read a model, every byte checked.

    Raises MissingError: there is none.  Raises DataError: it is damaged, or not one of ours.
    """
    manifest = read_manifest(folder, KIND)
    check_digests(folder, manifest)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        config = config_from_tables(card["recipe"], str(folder / CARD))
        method = build(load_method(config.method.name), config.method, _sample(card), config.run.seed)
        lost = method.load_state_dict(load_file(folder / WEIGHTS), strict=False)
        of_training = {name for name, _ in method.named_buffers(recurse=False)}  # BEGAN's k
        if wrong := [*lost.unexpected_keys, *(set(lost.missing_keys) - of_training)]:
            raise LookupError(f"{len(wrong)} weights, such as {wrong[0]}")
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"the model at {folder} does not fit its method",
            f"{type(error).__name__}: {str(error).splitlines()[-1].strip()}",
            "Use the version it was made with",
        ) from None
    method.eval().requires_grad_(False)
    return Model(method, config, card, manifest.digest)
