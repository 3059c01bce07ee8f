"""Registered models: folders of safetensors and JSON in MLflow's registry, found by name and alias.

Whoever may write to the registry is not believed: a version is the folder `model` of its run, with the digest that was
noted when it was registered, without links, and is read by `distgan.model` alone, which runs no code of it.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster import card
from cluster.home import Home
from cluster.tracking import answering, connect, shown
from distgan.config.run_config import AnyRun, config_from_tables
from distgan.model import CARD, KIND
from storage.durable import staged
from storage.errors import DataError, MissingError, RecipeError, ServiceError
from storage.manifest import NAME, check_digests, read_manifest
from storage.names import safe_name

DIGEST = "distgan.digest"
INITS = "distgan.inits"
"""Digests of the models whose weights a model began with."""
FOLDER = "model"
PAGE = 1_000
_ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


@dataclass(frozen=True)
class Version:
    """One version of a registered model.  digest: of its folder.  tags: what else was noted of it."""

    name: str
    version: int
    aliases: tuple[str, ...]
    digest: str
    run_id: str
    source: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def inits(self) -> tuple[str, ...]:
        """Digests of the models whose weights it began with."""
        return tuple(self.tags.get(INITS, "").split())

    @property
    def address(self) -> str:
        """What the command line takes."""
        return f"models:/{self.name}/{self.version}"


def register(home: Home, folder: Path, run_id: str, name: str, alias: str) -> Version:
    """Put a model folder into the registry; a second call for the same run and bytes finds the first.

    The version is created after all its files have arrived, so that none is ever incomplete. The alias is given to it,
    but not taken from a later version.
    Raises RecipeError: a name that cannot be one.  Raises DataError: the folder is damaged.  Raises ServiceError.
    """
    safe_name(name, "the name of a model")
    safe_name(alias, "an alias")
    manifest = read_manifest(folder, KIND)
    check_digests(folder, manifest)
    facts = json.loads((folder / CARD).read_text(encoding="utf-8"))
    with answering(home):
        client = connect(home)
        with contextlib.suppress(_exists()):
            client.create_registered_model(name)
        known = list_versions(home, name)
        same = [one for one in known if one.digest == manifest.digest and one.run_id == run_id]
        if same:
            version = same[0].version
        else:
            client.log_artifacts(run_id, str(folder), FOLDER)
            _check_arrived(client, run_id, {key: size for key, (size, _) in manifest.objects.items()})
            inits = " ".join(init["digest"] for init in facts["recipe"].get("init", {}).values())
            created = client.create_model_version(
                name,
                _source(client, run_id),
                run_id,
                tags={DIGEST: manifest.digest, INITS: inits},
                description=card.text(facts),
            )
            version = int(created.version)
        if not any(alias in one.aliases and one.version > version for one in known):
            client.set_registered_model_alias(name, alias, str(version))
    return next(one for one in list_versions(home, name) if one.version == version)


def list_versions(home: Home, name: str = "") -> list[Version]:
    """All versions of all models, or of one, by name and falling version."""
    with answering(home):
        client = connect(home)
        aliases = {
            (model.name, alias): int(version)
            for model in _pages(client.search_registered_models)
            for alias, version in model.aliases.items()
        }
        found = _pages(client.search_model_versions, filter_string=f"name='{name}'" if name else None)
    versions = [_version(one, aliases) for one in found]
    return sorted(versions, key=lambda one: (one.name, -one.version))


def _pages(search: Any, **wanted: Any) -> list[Any]:
    found = search(max_results=PAGE, **wanted)
    all_of_them = list(found)
    while found.token:
        found = search(max_results=PAGE, page_token=found.token, **wanted)
        all_of_them += found
    return all_of_them


def resolve(home: Home, address: str) -> Path:
    """The folder of a model: `models:/NAME@alias`, `models:/NAME/VERSION`, or a folder itself.

    Raises MissingError: there is none; the message lists those there are.  Raises DataError: it is not what was
    registered.
    """
    return _downloaded(home, find(home, address)) if address.startswith("models:") else Path(address)


def find(home: Home, address: str) -> Version:
    """The version that an address means now.  Raises MissingError, as `resolve`."""
    match = _ADDRESS.fullmatch(address)
    known = list_versions(home)
    found = [one for one in known if match and one.name == match["name"] and _is_meant(one, match)]
    if not found:
        listed = ", ".join(f"{one.address} {' '.join(f'@{a}' for a in one.aliases)}".strip() for one in known[:10])
        raise MissingError(
            f"there is no model {address!r}",
            f"the registry of {shown(home.tracking_uri)} holds {listed or 'none'}",
            "Write models:/NAME@ALIAS, models:/NAME/VERSION, or the path of a model folder",
        )
    return found[0]


def _downloaded(home: Home, version: Version) -> Path:
    """The folder of a version, if it is what was registered.  Raises DataError: it is not."""
    from mlflow.artifacts import download_artifacts

    with answering(home):
        wanted = _source(connect(home), version.run_id)
        if version.source != wanted:
            raise _refused(version, f"its source is {version.source!r}, not the folder of its run {wanted!r}")
        folder = Path(download_artifacts(version.source, tracking_uri=home.tracking_uri))
    if links := sorted(path.name for path in folder.rglob("*") if path.is_symlink()):
        raise _refused(version, f"{links[0]} is a link to another place")
    found = read_manifest(folder, KIND).digest
    if found != version.digest:
        raise _refused(version, f"its files have digest {found[:12]}..., and {version.digest[:12]}... was registered")
    return folder


def _kept(home: Home, version: Version) -> Path:
    """The same, where every machine of a cluster sees it, and where it is still when a run is resumed.

    A server's files come to a folder of the machine that asks for them, which is lost when it restarts.
    """
    came = _downloaded(home, version)
    kept = home.models / version.digest
    if came.is_relative_to(home.path):
        return came
    if not kept.exists():
        with contextlib.suppress(RecipeError), staged(kept) as partial:  # it is there: another process was faster
            shutil.copytree(came, partial, dirs_exist_ok=True)
    return kept


def _refused(version: Version, found: str) -> DataError:
    return DataError(
        f"{version.address} is not what was registered",
        found,
        "Somebody has written to the registry: take another version, or train and register it again",
    )


def _source(client: Any, run_id: str) -> str:
    """Where the model of a run lies."""
    return f"{client.get_run(run_id).info.artifact_uri}/{FOLDER}"


def _check_arrived(client: Any, run_id: str, wanted: Mapping[str, int]) -> None:
    """Raise ServiceError where a file of the model is not there, or not whole."""
    there = {one.path.removeprefix(f"{FOLDER}/"): one.file_size for one in client.list_artifacts(run_id, FOLDER)}
    lost = [name for name, size in wanted.items() if there.get(name) != size]
    if lost or NAME not in there:
        raise ServiceError(
            "the model has not arrived whole",
            f"{', '.join(lost) or NAME} of run {run_id}",
            "Nothing was registered; deliver it again by `distgan runs flush`",
        )


def with_models(config: AnyRun, home: Home) -> AnyRun:
    """The recipe with the folder, the version and the digest of every model it begins with: an alias may move.

    Raises MissingError: there is no such model.
    """
    tables = config.dump()
    for init in tables["init"].values():
        if init["digest"]:
            continue
        address = init["model"]
        if address.startswith("models:"):
            version = find(home, address)
            address, folder = version.address, _kept(home, version)
        else:
            folder = Path(address)
        digest = read_manifest(folder, KIND).digest
        init |= {"address": address, "model": str(folder.absolute()), "digest": digest}
    return config_from_tables(tables, "the recipe")


def _is_meant(one: Version, match: "re.Match[str]") -> bool:
    return one.version == int(match["version"]) if match["version"] else match["alias"] in one.aliases


def _version(found: Any, aliases: dict[tuple[str, str], int]) -> Version:
    number = int(found.version)
    own = tuple(sorted(alias for (name, alias), version in aliases.items() if (name, version) == (found.name, number)))
    return Version(found.name, number, own, found.tags.get(DIGEST, ""), found.run_id or "", found.source, found.tags)


def _exists() -> type[Exception]:
    from mlflow.exceptions import MlflowException

    return MlflowException
