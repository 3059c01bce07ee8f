"""From raw files to a model, and from a model to those that began with its weights."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyarrow import parquet

from cluster.card import image_store, licence
from cluster.home import Home
from cluster.registry import Version, find, list_versions, resolve
from distgan.model import CARD
from storage.manifest import listed

FILES = "files.parquet"


def lineage(home: Home, address: str) -> dict[str, Any]:
    """Where a model comes from and what came of it: its run, stores and raw files, ancestors and descendants.

    Raises MissingError: there is no such model.  Raises DataError: it is not what was registered.
    """
    known = list_versions(home)
    version = find(home, address if address.startswith("models:") else f"models:/{address}@candidate")
    return _of(home, version, known) | {"used by": _users(version, known)}


def _of(home: Home, version: Version, known: Sequence[Version]) -> dict[str, Any]:
    card = json.loads((resolve(home, version.address) / CARD).read_text(encoding="utf-8"))
    recipe = card["recipe"]
    return {
        "model": version.address,
        "aliases": list(version.aliases),
        "digest": version.digest,
        "run": {"name": recipe["run"]["name"], "mlflow": version.run_id, "state_sha256": card["state_sha256"]},
        "method": card["method"],
        "images_seen": card["images_seen"],
        "data": _data(card),
        "begun with": [_ancestor(home, name, init, known) for name, init in recipe.get("init", {}).items()],
        "noted": {
            key: value for key, value in version.tags.items() if key.startswith(("distgan.search", "distgan.trial"))
        },
    }


def _data(card: Mapping[str, Any]) -> dict[str, Any]:
    patches = Path(card["recipe"]["data"]["store"])
    images = image_store(card)
    found: dict[str, Any] = {
        "patch store": {
            "digest": card["patch_store"],
            "path": str(patches),
            "there": _is(patches, card["patch_store"]),
        },
        "image store": {"digest": card["image_store"], "path": str(images) if images else "not beside the patch store"},
        "licence": licence(card),
    }
    if images:
        found["raw"] = {"source": listed(images).facts.get("source", "")}
        if (images / FILES).exists():
            table = parquet.read_table(images / FILES, columns=["file"])
            found["raw"] |= {"files": table.num_rows, "with SHA-256 in": str(images / FILES)}
    return found


def _is(path: Path, digest: str) -> bool:
    return (path / "MANIFEST.json").is_file() and listed(path).digest == digest


def _ancestor(home: Home, network: str, init: Mapping[str, Any], known: Sequence[Version]) -> dict[str, Any]:
    """The model a network began as: with its own lineage, where it is registered here."""
    same = next((one for one in known if one.digest == init["digest"]), None)
    told = {"network": network, "address": init["address"] or init["model"], "digest": init["digest"]}
    return told | (_of(home, same, known) if same else {"model": "not registered here"})


def _users(version: Version, known: Sequence[Version]) -> list[dict[str, Any]]:
    """The models that began with its weights, and those that began with theirs."""
    return [
        {"model": one.address, "aliases": list(one.aliases), "digest": one.digest, "used by": _users(one, known)}
        for one in known
        if version.digest in one.inits
    ]
