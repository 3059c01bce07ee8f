"""What every tracker does with what it is told; a new one in a module called tracking is found by itself."""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import cluster.tracking
import distgan.monitoring.tracking
from cluster.home import Home
from distgan.monitoring.tracking import Tracker, read_lines

WORDS = ("params", "metrics", "figure", "artifact")
KINDS = sorted(
    kind.__name__
    for module in (distgan.monitoring.tracking, cluster.tracking)
    for kind in vars(module).values()
    if inspect.isclass(kind) and kind is not Tracker and all(hasattr(kind, word) for word in WORDS)
)


@dataclass
class Told:
    """A tracker, and what can be read from where it writes."""

    tracker: Tracker
    params: Callable[[], dict[str, str]]
    history: Callable[[str], list[tuple[int, float]]]
    files: Callable[[], dict[str, bytes]]


def jsonl(folder: Path) -> Told:
    def history(name: str) -> list[tuple[int, float]]:
        lines = [line for line in read_lines(folder) if name in line.get("metrics", {})]
        return [(line["images_seen"], line["metrics"][name]) for line in lines]

    def files() -> dict[str, bytes]:
        named = [folder / line["artifact"] for line in read_lines(folder) if "artifact" in line]
        return {path.name: path.read_bytes() for path in named}

    def params() -> dict[str, str]:
        return {key: str(value) for key, value in json.loads((folder / "params.json").read_text()).items()}

    return Told(distgan.monitoring.tracking.JsonlTracker(folder), params, history, files)


def mlflow(folder: Path) -> Told:
    home = Home(folder / "home")
    client = cluster.tracking.connect(home)
    run = client.create_run(client.create_experiment("contract", artifact_location=home.artifacts.as_uri())).info

    def history(name: str) -> list[tuple[int, float]]:
        return sorted((one.step, one.value) for one in client.get_metric_history(run.run_id, name))

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in home.artifacts.rglob("*") if path.is_file()}

    tracker = cluster.tracking.MlflowTracker(client, run.run_id)
    return Told(tracker, lambda: client.get_run(run.run_id).data.params, history, files)


MAKE: dict[str, Callable[[Path], Told]] = {"JsonlTracker": jsonl, "MlflowTracker": mlflow}


@pytest.fixture(params=KINDS, scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(request.param)


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest, folder: Path) -> Told:
    """One tracker for all tests of its kind, as one run has; each test uses names of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return MAKE[folder.name.rstrip("0123456789")](folder)


def picture() -> Figure:
    figure = Figure()
    figure.subplots().plot([0, 1])
    return figure


def test_settings_are_kept_by_dotted_key_and_can_be_said_again(told: Told) -> None:
    settings: dict[str, Any] = {f"method.key{number}": number for number in range(150)} | {"run.name": "tiny"}
    told.tracker.params(settings)
    told.tracker.params(settings)  # as a resumed run does
    assert told.params() == {key: str(value) for key, value in settings.items()}


def test_each_number_is_kept_once_and_in_its_place(told: Told) -> None:
    told.tracker.metrics({"loss/critic": 2.5, "kid": 1e-9}, 0)
    told.tracker.metrics({"loss/critic": -1.5}, 10_000_000_000)
    assert told.history("loss/critic") == [(0, 2.5), (10_000_000_000, -1.5)]
    assert told.history("kid") == [(0, 1e-9)]


def test_figures_are_kept_as_pictures_by_name_and_place(told: Told) -> None:
    told.tracker.figure("samples", picture(), 64)
    told.tracker.figure("samples", picture(), 128)
    found = {name: content for name, content in told.files().items() if name.startswith("samples")}
    assert sorted(found) == ["samples-000000000064.png", "samples-000000000128.png"]
    assert all(content.startswith(b"\x89PNG") for content in found.values())


def test_a_file_is_kept(told: Told, folder: Path) -> None:
    (folder / "notes.txt").write_text("worth keeping")
    told.tracker.artifact(folder / "notes.txt")
    assert told.files()["notes.txt"] == b"worth keeping"
