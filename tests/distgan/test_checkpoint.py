"""Checkpoints beside training: written while it goes on, and nothing of the state can be left out of them."""

import contextlib
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.engine.checkpoint import DTYPES, Checkpoints, write_tensors
from distgan.engine.state import State, digest
from distgan.engine.trainer import Trainer
from storage.errors import DataError, DiskError
from storage.manifest import sha256_file

MakeTrainer = Callable[..., Trainer]
Train = Callable[[AnyRun, Path], None]
SECONDS = 60


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", 2)


# on a thread of its own


def test_a_job_is_done_later_and_waited_for(checkpoints: Checkpoints) -> None:
    go, done = threading.Event(), threading.Event()
    checkpoints.later(lambda: go.wait(SECONDS) and done.set())
    assert not done.is_set()
    go.set()
    checkpoints.wait()
    assert done.is_set()
    checkpoints.wait()  # for nothing


def test_there_is_one_job_at_a_time(checkpoints: Checkpoints) -> None:
    go, order = threading.Event(), []
    checkpoints.later(lambda: (go.wait(SECONDS), order.append("first")))
    second = threading.Thread(target=lambda: (checkpoints.later(lambda: order.append("second")), order.append("begun")))
    second.start()
    second.join(0.05)
    assert second.is_alive(), "it waits for the first"
    go.set()
    second.join()
    checkpoints.wait()
    assert order[0] == "first"
    assert sorted(order[1:]) == ["begun", "second"]


@pytest.mark.parametrize("meeting", ["wait", "later"])
def test_an_error_is_met_once_at_the_next_checkpoint_or_at_the_end(checkpoints: Checkpoints, meeting: str) -> None:
    def full() -> None:
        raise DiskError("the disk", "is full", "Free some space")

    checkpoints.later(full)
    with pytest.raises(DiskError, match="is full"):
        checkpoints.later(list) if meeting == "later" else checkpoints.wait()
    checkpoints.wait()


def test_a_run_trains_on_while_it_writes(
    finished: Path, tables: dict[str, Any], train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write lasts until two more steps are done; the end is the same to the last bit."""
    steps = threading.Semaphore(0)
    real_step, real_save, waited = Trainer.step, Checkpoints.save, []

    def step(self: Trainer) -> Any:
        steps.release()
        return real_step(self)

    def save(self: Checkpoints, state: State, facts: dict[str, Any]) -> Path:
        if facts["steps"] < 16:
            while steps.acquire(blocking=False):
                pass
            waited.append(steps.acquire(timeout=SECONDS) and steps.acquire(timeout=SECONDS))
        return real_save(self, state, facts)

    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(Checkpoints, "save", save)
    train(config_from_tables(tables, "the test"), tmp_path)
    assert waited == [True, True, True]
    for name in ("images-000000000096", "images-000000000128"):
        found, wanted = (
            load_file(folder / "checkpoints" / name / "state.safetensors") for folder in (tmp_path, finished)
        )
        assert digest(found, {}) == digest(wanted, {})


def test_a_run_whose_writing_fails_ends_with_that_error(
    tables: dict[str, Any], train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Checkpoints.save

    def save(self: Checkpoints, state: State, facts: dict[str, Any]) -> Path:
        if facts["images_seen"] == 64:
            raise DiskError("the disk", "is full", "Free some space")
        return real(self, state, facts)

    monkeypatch.setattr(Checkpoints, "save", save)
    with pytest.raises(DiskError, match="is full"):
        train(config_from_tables(tables, "the test"), tmp_path)
    assert Checkpoints(tmp_path / "checkpoints", 2).committed_images() == 32


def test_a_collected_state_is_a_copy(tables: dict[str, Any], make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(tables)
    trainer.step()
    state = trainer.collect()
    before = digest(state, {})
    trainer.step()
    assert digest(state, {}) == before


def test_the_memory_of_a_copy_is_used_again(tables: dict[str, Any], make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(tables)
    empty = trainer.collect()
    trainer.step()  # now there are optimizer memories, too
    state = trainer.collect_on_first(empty)
    assert state is not None
    assert all(state[name].data_ptr() == value.data_ptr() for name, value in empty.items())
    assert digest(state, {}) == digest(trainer.collect(), {})
    other = {name: value.new_empty(3, dtype=torch.float64) for name, value in state.items()}
    again = trainer.collect_on_first(other)
    assert again is not None
    assert digest(again, {}) == digest(state, {})


# the file


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_tensor_is_read_back_by_the_library_itself(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    state = {
        "a byte": torch.tensor([1], dtype=torch.uint8),
        "many": (values * 3).to(dtype),
        "one": torch.tensor(1).to(dtype),
        "none": torch.empty(0, 2, dtype=dtype),
    }
    told = write_tensors(tmp_path / "file", state)
    found = load_file(tmp_path / "file")
    assert found.keys() == state.keys()
    assert digest(found, {}) == digest(state, {})
    assert told == sha256_file(tmp_path / "file")


# what if something were not saved: n steps, save, load, n steps


STEPS = 2
KINDS = {
    "the critic": r"method\.critic\..*",
    "the generator": r"method\.generator\..*",
    "running statistics": r"method\..*\.running_(mean|var)",
    "counts of batches": r".*\.num_batches_tracked",
    "the average": r"average\..*",
    "all memory of the critic's optimizer": r"optimizer\.critic\..*",
    "all memory of the generator's optimizer": r"optimizer\.generator\..*",
    **{
        f"{key} of the {network}": rf"optimizer\.{network}\..*\.{key}"
        for network in ("critic", "generator")
        for key in ("exp_avg", "exp_avg_sq", "step")
    },
}


@pytest.fixture
def batch_normalised(tables: dict[str, Any]) -> dict[str, Any]:
    """A method that has all kinds of state."""
    return tables | {"method": tables["method"] | {"critic_norm": "batch"}}


@pytest.fixture
def saved(batch_normalised: dict[str, Any], make_trainer: MakeTrainer, checkpoints: Checkpoints) -> str:
    """A checkpoint after n steps; the digest after n more."""
    trainer = make_trainer(batch_normalised)
    for _ in range(STEPS):
        trainer.step()
    checkpoints.save(trainer.collect(), trainer.counters())
    for _ in range(STEPS):
        trainer.step()
    return trainer.digest()


def end(trainer: Trainer, checkpoints: Checkpoints, left_out: str = "", steps_lost: int = 0) -> str:
    """The digest after n steps from what the checkpoint has, without what matches."""
    snapshot = checkpoints.latest()
    assert snapshot is not None
    state = {name: value for name, value in snapshot.state.items() if not re.fullmatch(left_out, name)}
    assert bool(left_out) == (len(state) < len(snapshot.state))
    trainer.restore(state, snapshot.facts["steps"] - steps_lost)
    for _ in range(STEPS):
        trainer.step()
    return trainer.digest()


def test_going_on_from_a_checkpoint_is_as_if_nothing_had_happened(
    saved: str, batch_normalised: dict[str, Any], make_trainer: MakeTrainer, checkpoints: Checkpoints
) -> None:
    assert end(make_trainer(batch_normalised), checkpoints) == saved


@pytest.mark.parametrize("left_out", KINDS.values(), ids=KINDS.keys())
def test_without_it_the_end_is_another_or_it_is_refused(
    saved: str, batch_normalised: dict[str, Any], make_trainer: MakeTrainer, checkpoints: Checkpoints, left_out: str
) -> None:
    with contextlib.suppress(DataError, KeyError):  # refused, by us or by the optimizer
        assert end(make_trainer(batch_normalised), checkpoints, left_out) != saved


def test_without_the_counter_the_end_is_another(
    saved: str, batch_normalised: dict[str, Any], make_trainer: MakeTrainer, checkpoints: Checkpoints
) -> None:
    assert end(make_trainer(batch_normalised), checkpoints, steps_lost=1) != saved


def test_all_that_is_saved_is_left_out_above(saved: str, checkpoints: Checkpoints) -> None:
    snapshot = checkpoints.latest()
    assert snapshot is not None
    assert saved
    assert {name for name in snapshot.state if not any(re.fullmatch(kind, name) for kind in KINDS.values())} == set()
