"""A checkpoint of another run, recipe or machine is named for what it is."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.engine.checkpoint import TENSORS, Checkpoints
from distgan.engine.numerics import fingerprint
from distgan.engine.resume import changed
from storage.errors import DataError

Train = Callable[[AnyRun, Path], None]


@pytest.fixture
def halved(finished: Path, tmp_path: Path) -> Path:
    """A finished run as it was between two checkpoints."""
    folder = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(folder / "model")
    for path in (folder / "checkpoints").iterdir():
        if path.name != "images-000000000096":
            shutil.rmtree(path)
    return folder


def test_the_same_recipe_goes_on(halved: Path, finished: Path, tables: dict[str, Any], train: Train) -> None:
    train(config_from_tables(tables, "the test"), halved)
    ends = [Checkpoints(folder / "checkpoints", 2).latest() for folder in (halved, finished)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[0].facts == ends[1].facts


@pytest.mark.parametrize(
    ("table", "key", "value", "told"),
    [
        ("run", "name", "another", "run.name was 'tiny' and is 'another'"),
        ("run", "seed", 1, "run.seed was 0 and is 1"),
        ("run", "batch_size", 16, "run.batch_size was 8 and is 16"),
        ("method", "critic_steps", 3, "method.critic_steps was 2 and is 3"),
        ("ema", "half_life_images", 30, "ema.half_life_images was 20 and is 30"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused_with_what_differs(
    halved: Path, tables: dict[str, Any], train: Train, table: str, key: str, value: object, told: str
) -> None:
    tables[table][key] = value
    with pytest.raises(DataError, match="of another recipe") as caught:
        train(config_from_tables(tables, "the test"), halved)
    assert caught.value.found == told


def test_what_does_not_change_the_mathematics_may_differ(tables: dict[str, Any]) -> None:
    then, other = config_from_tables(copy.deepcopy(tables), "the test"), copy.deepcopy(tables)
    other["run"] |= {"images": 256, "workers": 2, "threads_per_worker": 2, "log_every_images": 8}
    other["data"]["resident"] = "memory"
    other["checkpoint"]["keep"] = other["evaluate"]["every_images"] = 16
    assert changed(then, config_from_tables(other, "the test")) == ""


def test_a_damaged_checkpoint_is_passed_over_and_the_end_is_the_same(
    finished: Path, tables: dict[str, Any], train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(folder / "model")
    (folder / "checkpoints" / "images-000000000128" / TENSORS).write_bytes(b"0")
    train(config_from_tables(tables, "the test"), folder)
    (told,) = (text for text in caplog.messages if "damaged" in text)
    assert "going on from images-000000000096" in told
    snapshots = [Checkpoints(one / "checkpoints", 2).latest() for one in (folder, finished)]
    assert snapshots[0] is not None
    assert snapshots[1] is not None
    assert snapshots[0].facts == snapshots[1].facts


def test_where_all_are_damaged_nothing_begins_again(halved: Path, tables: dict[str, Any], train: Train) -> None:
    (halved / "checkpoints" / "images-000000000096" / TENSORS).write_bytes(b"0")
    with pytest.raises(DataError, match="every checkpoint"):
        train(config_from_tables(tables, "the test"), halved)


def test_other_numerics_are_told_and_the_run_goes_on(
    halved: Path,
    tables: dict[str, Any],
    train: Train,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("distgan.engine.numerics.fingerprint", lambda *given: fingerprint(*given) | {"threads": 7})
    train(config_from_tables(tables, "the test"), halved)
    assert [text for text in caplog.messages if "not bit-identical: threads 1 -> 7" in text]
    assert (halved / "model").is_dir()


def test_other_numerics_are_refused_where_the_recipe_must_be_exact(
    halved: Path, tables: dict[str, Any], train: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distgan.engine.numerics.fingerprint", lambda *given: fingerprint(*given) | {"threads": 7})
    with pytest.raises(DataError, match="threads 1 -> 7"):
        train(config_from_tables(tables, "the test"), halved, strict=True)
    assert not (halved / "model").exists()
