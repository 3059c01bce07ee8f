"""Registered models: folders of safetensors and JSON in MLflow's registry, found by name and alias."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.home import Home
from cluster.tracking import answering, connect
from distgan.config import AnyRun, config_from_tables
from distgan.model import KIND
from storage.errors import MissingError
from storage.manifest import read_manifest

DIGEST = "distgan.digest"
_ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


@dataclass(frozen=True)
class Version:
    """One version of a registered model.  digest: of its folder."""

    name: str
    version: int
    aliases: tuple[str, ...]
    digest: str
    run_id: str
    source: str

    @property
    def address(self) -> str:
        """What the command line takes."""
        return f"models:/{self.name}/{self.version}"


def register(home: Home, folder: Path, run_id: str, name: str, alias: str) -> Version:
    """Put a model folder into the registry; a second call for the same run and bytes finds the first.

    The version is created after all its files have arrived, so that none is ever incomplete.
    """
    digest = read_manifest(folder, KIND).digest
    with answering(home):
        client = connect(home)
        with contextlib.suppress(_exists()):
            client.create_registered_model(name)
        same = [one for one in list_versions(home, name) if one.digest == digest and one.run_id == run_id]
        if same:
            version = same[0].version
        else:
            client.log_artifacts(run_id, str(folder), "model")
            source = f"{client.get_run(run_id).info.artifact_uri}/model"
            created = client.create_model_version(name, source, run_id, tags={DIGEST: digest})
            version = int(created.version)
        client.set_registered_model_alias(name, alias, str(version))
    return next(one for one in list_versions(home, name) if one.version == version)


def list_versions(home: Home, name: str = "") -> list[Version]:
    """All versions of all models, or of one, by name and falling version."""
    with answering(home):
        client = connect(home)
        aliases = {
            (model.name, alias): int(version)
            for model in client.search_registered_models()
            for alias, version in model.aliases.items()
        }
        found = client.search_model_versions(f"name='{name}'" if name else None)
    versions = [_version(one, aliases) for one in found]
    return sorted(versions, key=lambda one: (one.name, -one.version))


def resolve(home: Home, address: str) -> Path:
    """The folder of a model: `models:/NAME@alias`, `models:/NAME/VERSION`, or a folder itself.

    Raises MissingError: there is none; the message lists those there are.
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
            f"there is no model {address}",
            f"the registry of {home.tracking_uri} holds {listed or 'none'}",
            "Write models:/NAME@ALIAS, models:/NAME/VERSION, or the path of a model folder",
        )
    return found[0]


def _downloaded(home: Home, version: Version) -> Path:
    from mlflow.artifacts import download_artifacts

    with answering(home):
        return Path(download_artifacts(version.source, tracking_uri=home.tracking_uri))


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
            address, folder = version.address, _downloaded(home, version)
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
    return Version(found.name, number, own, found.tags.get(DIGEST, ""), found.run_id or "", found.source)


def _exists() -> type[Exception]:
    from mlflow.exceptions import MlflowException

    return MlflowException
