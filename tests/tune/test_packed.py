"""Trainings that share a process are what they are alone; and none is lost, or trained twice."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from distgan.config.run_config import config_from_tables
from distgan.engine.checkpoint import Checkpoints
from distgan.monitoring.pulse import STOP
from storage.errors import DivergedError, RecipeError
from tune import packed
from tune.members import members_of
from tune.packed import FAILURE, PLAN, locked, packs_of, train_pack

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def sweep(tmp_path: Path, sweep_tables: dict[str, Any]) -> Path:
    """The folder of a sweep that is planned."""
    config = config_from_tables(sweep_tables, "the test")
    assert config.fractions is not None
    members = members_of(sweep_tables, config, config.fractions)
    plan = {"recipe": config.dump(), "members": [member.facts() for member in members]}
    (tmp_path / PLAN).write_text(json.dumps(plan))
    return tmp_path


@pytest.fixture
def names(sweep: Path) -> list[str]:
    return [one["name"] for one in json.loads((sweep / PLAN).read_text())["members"]]


def result(sweep: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((sweep / "results" / f"{name}.json").read_text())
    return found


def stop_after(monkeypatch: pytest.MonkeyPatch, calls: int, do: Callable[[Path], None]) -> list[str]:
    """Let so many trainings begin; the next one does this first.  Returns the names of all that began."""
    real, begun = packed.run, []

    def run(config: Any, folder: Path, *arguments: Any) -> None:
        begun.append(folder.name)
        if len(begun) > calls:
            do(folder)
        real(config, folder, *arguments)

    monkeypatch.setattr(packed, "run", run)
    return begun


def test_a_member_has_the_bits_of_its_solo_run(sweep: Path, names: list[str], tmp_path: Path) -> None:
    keep_all(sweep)
    train_pack(sweep, names[:4])
    tables = next(one["tables"] for one in json.loads((sweep / PLAN).read_text())["members"] if one["name"] == names[3])
    packed.train_here(config_from_tables(tables, "the test"), folder := new(tmp_path / "alone"))
    alone = Checkpoints(folder / "checkpoints", 2).latest()
    assert alone is not None
    assert result(sweep, names[3])["state_sha256"] == alone.facts["state_sha256"]
    assert len({result(sweep, name)["state_sha256"] for name in names[:4]}) == 4


def test_the_first_gradients_of_a_member_are_those_of_its_solo_run(
    sweep: Path, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RMSprop's second moment after one step is (1 - decay) times the squared gradient."""
    plan = json.loads((sweep / PLAN).read_text())
    for one in plan["members"]:
        one["tables"]["run"]["images"] = 8
    plan["recipe"]["fractions"]["keep"] = "all"
    (sweep / PLAN).write_text(json.dumps(plan))
    train_pack(sweep, names[:3])
    packed.train_here(config_from_tables(plan["members"][2]["tables"], "the test"), alone := new(tmp_path / "alone"))
    ours, theirs = (moments(folder) for folder in (sweep / "members" / names[2], alone))
    assert ours
    assert ours == theirs


def moments(folder: Path) -> dict[str, bytes]:
    (path,) = (folder / "checkpoints").glob("*/state.safetensors")
    with safe_open(path, "numpy") as file:
        return {key: file.get_tensor(key).tobytes() for key in file.keys() if "exp_avg" in key}  # noqa: SIM118 - it is no dict


def test_numbers_alone_are_kept_and_nothing_is_trained_again(
    sweep: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = stop_after(monkeypatch, 100, lambda _: None)
    train_pack(sweep, names[:2])
    train_pack(sweep, names[:3])
    assert begun == names[:3]
    left = {path.name for path in (sweep / "members" / names[0]).iterdir()}
    assert {"recipe.json", "params.json", "metrics.jsonl"} <= left
    assert not left & {"checkpoints", "model", "figures", "features.safetensors"}
    assert result(sweep, names[0])["metrics"]["kid"] > 0


def test_a_sweep_that_is_killed_goes_on_from_the_checkpoint(
    sweep: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_pack(sweep, names[:1])
    wanted = result(sweep, names[0])["state_sha256"]
    (sweep / "results" / f"{names[0]}.json").unlink()
    saves: list[int] = []
    real = Checkpoints.save

    def save(self: Checkpoints, state: Any, facts: dict[str, Any]) -> Path:
        if len(saves) == 2:
            raise KeyboardInterrupt  # as a process that is killed: nothing is written of it
        saves.append(facts["images_seen"])
        return real(self, state, facts)

    monkeypatch.setattr(Checkpoints, "save", save)
    with pytest.raises(KeyboardInterrupt):
        train_pack(sweep, names[:1])
    assert not (sweep / "results" / f"{names[0]}.json").exists()

    def note(self: Checkpoints, state: Any, facts: dict[str, Any]) -> Path:
        saves.append(facts["images_seen"])
        return real(self, state, facts)

    monkeypatch.setattr(Checkpoints, "save", note)
    train_pack(sweep, names[:1])
    assert saves == [8, 16, 24, 32]
    assert result(sweep, names[0])["state_sha256"] == wanted


def test_a_member_is_stopped_with_a_checkpoint_and_goes_on(
    sweep: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(folder: Path) -> None:
        (sweep / STOP).touch()
        (folder / STOP).touch()

    begun = stop_after(monkeypatch, 1, stop)
    train_pack(sweep, names[:4])
    assert begun == names[:2]
    assert sorted(path.stem for path in (sweep / "results").iterdir()) == names[:1]
    assert Checkpoints(sweep / "members" / names[1] / "checkpoints", 2).committed_images() > 0
    (sweep / STOP).unlink()
    monkeypatch.undo()
    train_pack(sweep, names[:2])
    assert result(sweep, names[1])["images_seen"] == 32


def test_divergence_is_a_result_and_the_others_go_on(
    sweep: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(folder: Path) -> None:
        if folder.name == names[1]:
            raise DivergedError("training diverged", "nan", "Lower the rate")

    stop_after(monkeypatch, 1, diverge)
    train_pack(sweep, names[:3])
    assert result(sweep, names[1])["error"]["code"] == "diverged"
    assert result(sweep, names[1])["metrics"] == {}
    assert result(sweep, names[2])["error"] is None


@pytest.mark.parametrize("error", [RecipeError("wrong", "found", "do"), RuntimeError("a bug")])
def test_any_other_error_ends_the_sweep_and_is_told(
    sweep: Path, names: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(folder: Path) -> None:
        raise error

    begun = stop_after(monkeypatch, 1, fail)
    train_pack(sweep, names)
    told = json.loads((sweep / FAILURE).read_text())
    assert told["code"] == ("recipe" if isinstance(error, RecipeError) else "internal")
    assert str(error.args[0]) in json.dumps(told)
    assert len(begun) == 2


def test_a_member_that_another_process_trains_is_waited_for_and_not_trained_again(
    sweep: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = stop_after(monkeypatch, 100, lambda _: None)
    with locked(sweep / "members" / names[0]):
        thread = threading.Thread(target=train_pack, args=(sweep, names[:1]))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        (sweep / "results").mkdir()
        (sweep / "results" / f"{names[0]}.json").write_text("{}")
    thread.join(60)
    assert begun == []


@pytest.mark.parametrize(
    ("count", "seconds", "slots", "sizes"),
    [(10, 1.0, 2, [5, 5]), (10, 30.0, 2, [2] * 5), (3, 500.0, 8, [1] * 3), (400, 0.1, 1, [400]), (5, 0.0, 2, [3, 2])],
)
def test_packs_are_about_a_minute_and_enough_for_all(count: int, seconds: float, slots: int, sizes: list[int]) -> None:
    packs = packs_of([str(number) for number in range(count)], seconds, slots)
    assert [len(pack) for pack in packs] == sizes
    assert [name for pack in packs for name in pack] == [str(number) for number in range(count)]


def keep_all(sweep: Path) -> None:
    plan = json.loads((sweep / PLAN).read_text())
    plan["recipe"]["fractions"]["keep"] = "all"
    (sweep / PLAN).write_text(json.dumps(plan))


def new(folder: Path) -> Path:
    folder.mkdir()
    return folder
