"""What a run was made with: the revision of the code, the environment, and the stores by their digests.

Noted in the run's folder before the workers start, so that a delivery that comes later, from elsewhere, tells the same.
Nothing of it is a secret: no address of a repository, no variable of the environment.
"""

import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from distgan.config.run_config import AnyRun
from distgan.data.batches import open_store
from storage.durable import write_file

PROVENANCE = "provenance.json"
DISTRIBUTIONS = ("distgan", "torch", "ray", "mlflow", "numpy", "zarr", "dask", "safetensors")
GIT_SECONDS = 10.0


def note(folder: Path, config: AnyRun) -> None:
    """Write PROVENANCE into the folder of a run."""
    store = open_store(config.data)
    found = {
        "revision": revision(Path(__file__).parent),
        "environment": environment(),
        "data": [
            {"name": store.path.name, "context": "patch store", "sha256": store.digest, "path": str(store.path)},
            {"name": "images", "context": "image store", "sha256": store.manifest.facts["source"]},
        ],
    }
    write_file(folder / PROVENANCE, (json.dumps(found, indent=1) + "\n").encode())


def environment() -> dict[str, str]:
    """The versions of Python and of what the numbers depend on, and the kind of machine."""
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"python": platform.python_version(), "platform": platform.platform(), **versions}


def revision(folder: Path) -> str:
    """The commit of the repository that a package is of, `-modified` where files differ from it; "" without one."""
    if not _git(folder, "ls-files", "--error-unmatch", "__init__.py"):
        return ""  # it is installed, perhaps below a repository of somebody else's
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    return commit + ("-modified" if commit and _git(folder, "status", "--porcelain", "--", ".") else "")


def entities(found: dict[str, Any]) -> list[Any]:
    """The stores as MLflow's data sets, whose digest has 36 characters; the whole one is in the source."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(one["name"], one["sha256"][:36], "local", json.dumps({"uri": one.get("path", ""), **one})),
            [InputTag("mlflow.data.context", one["context"])],
        )
        for one in found["data"]
    ]


def _git(folder: Path, *words: str) -> str:
    try:
        command = ["git", "-C", str(folder), *words]  # words are ours
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
