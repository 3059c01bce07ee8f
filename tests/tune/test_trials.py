"""One trial, without Ray: what it reports, how it ends, goes on after a kill, and is copied."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from distgan.config.run_config import config_from_tables
from distgan.engine.checkpoint import Checkpoints
from distgan.monitoring.pulse import STOP
from distgan.monitoring.tracking import read_lines
from storage.cuts import Cut
from storage.errors import DivergedError
from storage.ingest import ingest
from storage.preprocess import Preparation, prepare
from tune.catalogue import Catalogue, Reported
from tune.preview import warm_up
from tune.trials import IMAGES, clone, train_trial

IMAGES_IN_ALL, EVERY = 96, 32


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 patches of 16 x 16, of two pictures."""
    folder = tmp_path_factory.mktemp("patches")
    (folder / "raw").mkdir()
    random = np.random.default_rng(0)
    for number in range(12):
        picture = random.integers(0, 256, (96, 96), np.uint8)
        Image.fromarray(picture).save(folder / "raw" / f"p{number:02d}.png")
    ingest(folder / "raw", folder / "images.zarr")
    prepare(folder / "images.zarr", folder / "patches.zarr", Preparation(Cut("tiled", (32, 32))))
    return folder / "patches.zarr"


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """Little time for the features, and torch's settings as they were."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distgan.evaluations.kid.TRAINING_STEPS", 5)
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        yield
    torch.use_deterministic_algorithms(mode=False)


@pytest.fixture
def catalogue(patches: Path, tmp_path: Path) -> Catalogue:
    return begun(patches, tmp_path / "search")


def begun(patches: Path, folder: Path, **tune: Any) -> Catalogue:
    """A search with two trials: one of a good rate, one of a rate that leads nowhere."""
    recipe = {
        "run": {"name": "s", "images": IMAGES_IN_ALL, "batch_size": 8, "log_every_images": 16},
        "data": {"store": str(patches), "split": {"by": "file", "held_out": 0.25}},
        "method": {"name": "wgan_gp", "width": 4, "critic_width": 4, "noise": 8, "critic_steps": 1},
        "ema": {"half_life_images": 20},
        "evaluate": {"every_images": EVERY, "samples": 100},
        "checkpoint": {"every_images": EVERY},
        "tune": {"trials": 2, "space": {"optimizer.lr": {"loguniform": [1e-5, 1e30]}}} | tune,
    }
    config_from_tables(recipe, "the test")
    found = Catalogue(folder)
    found.begin({"slots": 1, "recipe": recipe})
    found.add(0, {"optimizer.lr": 1e-3}, [])
    found.add(1, {"optimizer.lr": 2e-4}, [])
    return found


def train(
    catalogue: Catalogue,
    number: int,
    report: Callable[..., None] = lambda *_: None,
    pointer: dict[str, int] | None = None,
    point: dict[str, Any] | None = None,
) -> None:
    settings = {"search": str(catalogue.folder), "home": str(catalogue.folder / "home"), "point": point or {}}
    train_trial(catalogue, number, settings, pointer, report)


def stop_at(images_seen: int) -> Callable[..., None]:
    """Tune, ending a trial once it has seen so many images."""

    def report(metrics: dict[str, float], _: Any) -> None:
        if metrics[IMAGES] >= images_seen:
            raise SystemExit

    return report


def digest(catalogue: Catalogue, number: int) -> str:
    snapshot = Checkpoints(catalogue.run(number) / "checkpoints", 2).latest()
    assert snapshot is not None
    return str(snapshot.facts["state_sha256"])


def test_a_trial_reports_what_is_committed_and_ends_with_its_model(catalogue: Catalogue) -> None:
    told: list[tuple[int, int, float, bool]] = []

    def report(metrics: dict[str, float], pointer: Any) -> None:
        folder = catalogue.run(0)
        committed = Checkpoints(folder / "checkpoints", 2).committed_images()
        told.append((int(metrics[IMAGES]), committed, metrics["kid"], (folder / "model").exists()))
        assert pointer is None, "no scheduler asks where it could be gone on from"

    train(catalogue, 0, report)
    assert [(seen, committed, model) for seen, committed, _, model in told] == [
        (32, 32, False),
        (64, 64, False),
        (96, 96, True),
    ], "what Tune hears at the end comes after the model, for it ends the trial"
    result = catalogue.trial(0).result
    assert result is not None
    assert (result.state, result.images_seen, result.values) == ("finished", 96, (told[-1][2],))


def test_a_stopped_trial_goes_on_to_the_same_bits_and_reports_all_of_it(catalogue: Catalogue) -> None:
    train(catalogue, 0)
    values = catalogue.reported(0, ("kid",))
    other = begun(Path(catalogue.search()["recipe"]["data"]["store"]), catalogue.folder.parent / "other")  # type: ignore[index]
    with pytest.raises(SystemExit):
        train(other, 0, stop_at(32))
    assert other.trial(0).result is None
    told: list[float] = []
    train(other, 0, lambda metrics, _: told.append(metrics["kid"]))
    assert digest(other, 0) == digest(catalogue, 0)
    assert told == [one.values[0] for one in values]
    assert other.trial(0).result == catalogue.trial(0).result


def test_a_trial_that_was_asked_to_stop_has_no_result(catalogue: Catalogue) -> None:
    train(catalogue, 0, lambda *_: (catalogue.run(0) / STOP).touch())
    assert catalogue.trial(0).result is None
    assert catalogue.cost(catalogue.trial(0)) >= 32
    (catalogue.folder / STOP).touch()
    train(catalogue, 1)
    assert not (catalogue.run(1) / "recipe.json").exists(), "nothing is begun any more"


def test_a_trial_that_leaves_the_numbers_has_failed_and_others_have_not(catalogue: Catalogue) -> None:
    catalogue.add(2, {"optimizer.lr": 1e30}, [])
    train(catalogue, 2)
    result = catalogue.trial(2).result
    assert result is not None
    assert (result.state, result.values) == ("failed", None)
    assert "not" in result.reason
    assert catalogue.trial(0).result is None


def test_an_objective_that_is_not_a_number_is_a_failure(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Catalogue, "reported", lambda *_: [Reported(32, (float("nan"),), 0.0)])
    train(catalogue, 0)
    result = catalogue.trial(0).result
    assert result is not None
    assert (result.state, result.values) == ("failed", None)
    assert "not a number" in result.reason


def test_an_ended_trial_is_not_trained_again_but_tells_what_it_was(catalogue: Catalogue) -> None:
    train(catalogue, 0)
    written = (catalogue.run(0) / "metrics.jsonl").stat().st_mtime_ns
    told: list[float] = []
    train(catalogue, 0, lambda metrics, _: told.append(metrics[IMAGES]))
    assert told == [32, 64, 96]
    assert (catalogue.run(0) / "metrics.jsonl").stat().st_mtime_ns == written


def test_a_copied_trial_goes_on_from_the_others_state_by_its_own_values(patches: Path, tmp_path: Path) -> None:
    catalogue = begun(patches, tmp_path / "search", scheduler="pbt", trials=2)
    pointers: list[Any] = []

    def note(metrics: dict[str, float], pointer: Any) -> None:
        pointers.append(pointer)
        stop_at(64)(metrics, pointer)

    with pytest.raises(SystemExit):
        train(catalogue, 0, note)
    assert pointers == [{"number": 0, "images_seen": 32}, {"number": 0, "images_seen": 64}]
    with pytest.raises(SystemExit):
        train(catalogue, 1, stop_at(32))
    theirs = catalogue.run(0) / "checkpoints" / "images-000000000064" / "state.safetensors"
    point = {"optimizer.lr": 1.2e-3}
    seen: list[int] = []

    def look(metrics: dict[str, float], _: Any) -> None:
        seen.append(int(metrics[IMAGES]))

    copied: list[bytes] = []
    original = Checkpoints.latest

    def latest(self: Checkpoints) -> Any:
        found = original(self)
        if self.folder == catalogue.run(1) / "checkpoints" and found is not None:
            copied.append((found.path / "state.safetensors").read_bytes())
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "latest", latest)
        train(catalogue, 1, look, pointers[-1], point)
    assert copied[0] == theirs.read_bytes()
    assert seen == [], "its own past is not told again, and Tune would wait with its end for all the others"
    trial = catalogue.trial(1)
    assert trial.current == point
    assert [(one.trial, one.images_seen, one.left) for one in trial.lineage] == [(0, 64, 32)]
    assert trial.result is not None
    assert trial.result.images_seen == 64, "what it took over is not what it cost"
    recipe = json.loads((catalogue.run(1) / "recipe.json").read_text())
    assert recipe["optimizer"]["critic"]["lr"] == 1.2e-3
    assert [line["images_seen"] for line in read_lines(catalogue.run(1)) if "kid" in line.get("metrics", {})] == [
        *(0, 32, 96)
    ]


def test_a_copy_that_was_cut_off_is_finished_or_forgotten(patches: Path, tmp_path: Path) -> None:
    catalogue = begun(patches, tmp_path / "search", scheduler="pbt", trials=2)
    for number in (0, 1):
        with pytest.raises(SystemExit):
            train(catalogue, number, stop_at(64 if number == 0 else 32))
    pointer, point = {"number": 0, "images_seen": 64}, {"optimizer.lr": 5e-4}
    own = [path.name for path in sorted((catalogue.run(1) / "checkpoints").iterdir())]
    with pytest.MonkeyPatch.context() as patch:  # killed before it was decided
        patch.setattr(Catalogue, "descend", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            clone(catalogue, 1, pointer, point)
    with pytest.raises(SystemExit):
        train(catalogue, 1, stop_at(32))
    assert [path.name for path in sorted((catalogue.run(1) / "checkpoints").iterdir())] == own
    assert catalogue.trial(1).current == {"optimizer.lr": 2e-4}
    with pytest.MonkeyPatch.context() as patch:  # killed between the decision and the exchange
        patch.setattr("tune.trials._finish_clone", lambda *_: None)
        clone(catalogue, 1, pointer, point)
    assert [path.name for path in sorted((catalogue.run(1) / "checkpoints").iterdir())] == own
    told: list[float] = []
    train(catalogue, 1, lambda metrics, _: told.append(metrics[IMAGES]))
    assert told == [32]
    assert catalogue.trial(1).current == point


def test_the_warm_up_says_what_is_reported_and_refuses_another_objective(patches: Path, tmp_path: Path) -> None:
    good = begun(patches, tmp_path / "good")
    warm_up(good.folder, tmp_path / "home")
    facts = good.read("warmup.json")
    assert facts is not None
    assert {"kid", "loss/distance"} <= set(facts["metrics"])
    assert facts["seconds_per_image"] > 0
    assert (good.folder / "features.safetensors").exists()
    train(good, 0)
    shared, own = (folder / "features.safetensors" for folder in (good.folder, good.run(0)))
    assert own.read_bytes() == shared.read_bytes()

    for key, value in (("objective", "kidd"), ("effects", ["kid", "kidd"])):
        bad = begun(patches, tmp_path / key, **{key: value})
        warm_up(bad.folder, tmp_path / "home")
        error = bad.read("error.json")
        assert error is not None
        assert error["code"] == "recipe"
        assert error["do"] == f"Set tune.{key} to 'kid'"


def test_errors_that_are_not_of_the_trial_end_the_search(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    from storage.errors import DiskError

    def full(*_: Any, **__: Any) -> None:
        raise DiskError("the disk is full", "0 MiB", "Free some")

    monkeypatch.setattr("tune.trials.run", full)
    train(catalogue, 0)
    assert catalogue.trial(0).result is None
    assert catalogue.read("error.json") == DiskError("the disk is full", "0 MiB", "Free some").as_dict()
    assert (catalogue.folder / STOP).exists()


def test_an_error_of_the_trial_alone_is_its_failure(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise DivergedError("training diverged", "loss", "Lower the rate")

    monkeypatch.setattr("tune.trials.run", broken)
    train(catalogue, 0)
    assert catalogue.trial(0).result is not None
    assert not (catalogue.folder / STOP).exists()
