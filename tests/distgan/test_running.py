"""A whole run in this process: what it leaves, and what it leaves when it is disturbed."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distgan import methods
from distgan.config.run_config import AnyRun, config_from_tables
from distgan.engine import nonfinite, trainer
from distgan.engine.checkpoint import Checkpoints, Snapshot
from distgan.inference.sample import sample
from distgan.model import load_model
from distgan.monitoring.pulse import STOP
from distgan.monitoring.tracking import final_metrics, read_lines
from storage.cuts import Cut
from storage.errors import DataError, DivergedError, InterruptedRun, RecipeError
from storage.preprocess import Preparation, prepare

Train = Callable[[AnyRun, Path], None]
LOSSES = {"loss/distance", "loss/penalty", "loss/generator"}


@pytest.fixture
def config(tables: dict[str, Any]) -> AnyRun:
    return config_from_tables(tables, "the test")


def snapshot(folder: Path) -> Snapshot:
    found = Checkpoints(folder / "checkpoints", 2).latest()
    assert found is not None
    return found


def digest(folder: Path) -> str:
    return str(snapshot(folder).facts["state_sha256"])


def said(folder: Path) -> list[dict[str, Any]]:
    """The lines of the run, without what depends on the clock."""
    lines = list(read_lines(folder))
    for line in lines:
        line.pop("time", None)
        for name in list(line.get("metrics", {})):
            if name == "images_per_second" or name.startswith("system/"):
                del line["metrics"][name]
    return lines


def places(folder: Path, metric: str) -> list[int]:
    return [line["images_seen"] for line in read_lines(folder) if metric in line.get("metrics", {})]


# what a run leaves


def test_every_number_is_there_once_and_at_its_place(finished: Path) -> None:
    assert places(finished, "kid_floor") == places(finished, "kid_untrained") == [0]
    assert places(finished, "kid") == [0, 64, 128]
    assert places(finished, "diversity/spread") == places(finished, "diversity/coverage") == [64, 128]
    watched = ("accuracy/critic", "gradient_norm/critic", "gradient_norm/generator")
    for name in (*LOSSES, *watched, "images_per_second", "system/memory_mib"):
        assert places(finished, name) == list(range(16, 129, 16))
    assert [line["images_seen"] for line in said(finished)] == sorted(line["images_seen"] for line in said(finished))


def test_distances_lie_in_their_intervals_and_all_numbers_are_finite(finished: Path) -> None:
    found = final_metrics(finished)
    for name in ("kid", "kid_floor", "kid_untrained"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
    assert all(math.isfinite(value) for line in read_lines(finished) for value in line.get("metrics", {}).values())


def test_the_floor_is_nearer_than_an_untrained_network(finished: Path) -> None:
    found = final_metrics(finished)
    assert found["kid_floor"] < 0.1 * found["kid_untrained"]


def test_the_settings_and_the_figures_are_kept(finished: Path, config: AnyRun) -> None:
    params = json.loads((finished / "params.json").read_text())
    assert len(params.pop("features_sha256")) == 64
    assert {key: value for key, value in params.items() if not key.startswith("leaks.")} == config.flat()
    figures = [finished / line["artifact"] for line in read_lines(finished) if "artifact" in line]
    assert sorted(path.name for path in figures) == [
        "kid-000000000064.png",
        "kid-000000000128.png",
        "samples-000000000064.png",
        "samples-000000000128.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in figures)


def test_the_newest_checkpoints_and_the_best_are_kept_with_the_recipe(finished: Path, config: AnyRun) -> None:
    facts = snapshot(finished).facts
    scores = {
        line["images_seen"]: line["metrics"]["kid"] for line in read_lines(finished) if "kid" in line.get("metrics", {})
    }
    best = min((seen for seen in scores if seen), key=lambda seen: scores[seen])
    assert facts["best"] == {
        "metric": "kid",
        "value": scores[best],
        "images_seen": best,
        "since": sum(seen > best for seen in scores),
    }
    names = [path.name for path in (finished / "checkpoints").iterdir()]
    assert sorted(names) == [f"images-{images:012d}" for images in sorted({best, 96, 128})]
    assert (facts["images_seen"], facts["steps"]) == (128, 16)
    assert config_from_tables(facts["recipe"], "the checkpoint") == config


def test_the_model_can_be_loaded_and_sampled(finished: Path) -> None:
    model = load_model(finished / "model")
    assert model.card["state_sha256"] == digest(finished)
    assert model.card["metrics"] == final_metrics(finished)
    (images,) = sample(model, 3, seed=0)
    assert images.shape == (3, 1, 32, 32)


def test_the_model_is_the_average_of_the_generator_and_the_last_critic(finished: Path) -> None:
    state, model = snapshot(finished).state, load_model(finished / "model")
    for name, value in model.method.generator.state_dict().items():
        assert torch.equal(value, state[f"average.generator.{name}"])
    for name, value in model.method.critic.state_dict().items():
        assert torch.equal(value, state[f"method.critic.{name}"])


def test_running_a_finished_run_again_changes_nothing(
    finished: Path, config: AnyRun, train: Train, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "again")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    train(config, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_looking_at_a_run_does_not_change_it(
    finished: Path, tables: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    tables["evaluate"]["every_images"] = tables["run"]["log_every_images"] = 8
    tables["checkpoint"]["every_images"] = 128
    train(config_from_tables(tables, "the test"), tmp_path / "run")
    assert digest(tmp_path / "run") == digest(finished)


# disturbed runs


class Killed(BaseException):
    """As if the process were gone."""


@pytest.mark.parametrize("step", [1, 6, 9, 16])
def test_a_run_killed_anywhere_ends_as_if_it_were_not(
    finished: Path, config: AnyRun, train: Train, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first checkpoint, between two, right after one, and after the last step."""
    whole = trainer.Trainer.fit

    def fit(self: trainer.Trainer, observe: trainer.Observer) -> None:
        def until_killed(self: trainer.Trainer, terms: dict[str, Tensor]) -> bool:
            observe(self, terms)
            if self.steps == step:
                raise Killed
            return True

        whole(self, until_killed)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "fit", fit)
        with pytest.raises(Killed):
            train(config, tmp_path / "run")
    train(config, tmp_path / "run")
    assert digest(tmp_path / "run") == digest(finished)
    assert said(tmp_path / "run") == said(finished)
    assert load_model(tmp_path / "run" / "model").card["state_sha256"] == digest(finished)


def test_a_run_asked_to_stop_commits_first_and_then_ends_as_if_it_were_not(
    finished: Path, tables: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    tables["checkpoint"]["every_images"] = 48  # no checkpoint is due where it is asked to stop
    config, folder = config_from_tables(tables, "the test"), tmp_path / "run"
    folder.mkdir()
    (folder / STOP).touch()
    with pytest.raises(InterruptedRun) as caught:
        train(config, folder)
    assert caught.value.exit_code == 75
    assert snapshot(folder).facts["images_seen"] == 8
    assert "8 images" in caught.value.found
    assert not (folder / "model").exists()
    (folder / STOP).unlink()
    train(config, folder)
    assert digest(folder) == digest(finished)
    assert said(folder) == said(finished)


def test_going_on_with_another_store_is_refused(
    images: Path, tables: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    tables["run"]["images"] = 32
    train(config_from_tables(tables, "the test"), tmp_path / "run")
    prepare(images, tmp_path / "other.zarr", Preparation(Cut("tiled", (32, 32)), seed=1))
    tables["run"]["images"], tables["data"]["store"] = 64, str(tmp_path / "other.zarr")
    with pytest.raises(DataError, match="another store"):
        train(config_from_tables(tables, "the test"), tmp_path / "run")


def test_too_few_images_to_compare_with_are_refused_before_training(
    tables: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    tables["data"]["split"]["held_out"] = 0.1  # one picture, nine patches
    with pytest.raises(RecipeError, match=r"data\.split\.held_out"):
        train(config_from_tables(tables, "the test"), tmp_path / "run")


class Failing:
    """A critic's loss of which the calls of these numbers, two a step, are not numbers."""

    def __init__(self, patch: pytest.MonkeyPatch, calls: Callable[[int], bool]) -> None:
        self.calls = 0
        right = methods.load_method("wgan_gp").critic_loss

        def loss(method: Any, step: Any) -> dict[str, Tensor]:
            self.calls += 1
            terms = dict(right(method, step))
            return terms | {"distance": terms["distance"] * (float("nan") if calls(self.calls) else 1)}

        patch.setattr(methods.load_method("wgan_gp"), "critic_loss", loss)


@pytest.mark.parametrize("looks_later", [False, True], ids=["at once", "at the next log or checkpoint"])
def test_a_run_that_diverges_ends_and_its_last_checkpoint_is_finite(
    tables: dict[str, Any], train: Train, tmp_path: Path, looks_later: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, lambda call: call > 2 * 5)
    made = nonfinite.Judge.__init__

    def judge(self: nonfinite.Judge, *given: Any) -> None:
        made(self, *given)
        self.looks_later = looks_later

    monkeypatch.setattr(nonfinite.Judge, "__init__", judge)
    tables["run"]["log_every_images"] = tables["evaluate"]["every_images"] = 128
    with pytest.raises(DivergedError) as caught:
        train(config_from_tables(tables, "the test"), tmp_path / "run")
    assert "in turn critic after 40 images" in caught.value.found
    assert ("the term distance" in caught.value.found) is not looks_later
    assert caught.value.exit_code == 76
    assert failing.calls == (16 if looks_later else 12)
    kept = snapshot(tmp_path / "run")
    assert kept.facts["images_seen"] == 32
    assert all(torch.isfinite(value).all() for value in kept.state.values())
    assert not (tmp_path / "run" / "model").exists()


def test_a_fault_that_does_not_come_again_leaves_no_trace_after_going_back(
    finished: Path, tables: dict[str, Any], train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once before the first checkpoint, and twice after."""
    failing = Failing(monkeypatch, lambda call: call in (3, 4 + 2 * 6, 4 + 12 + 2 * 8))
    tables["run"]["on_nonfinite"] = "rewind"
    train(config_from_tables(tables, "the test"), tmp_path / "run")
    assert failing.calls > 2 * 16
    assert digest(tmp_path / "run") == digest(finished)
    assert places(tmp_path / "run", "loss/distance") == places(finished, "loss/distance")
    assert final_metrics(tmp_path / "run")["skipped"] == 0


def test_going_back_has_an_end(
    tables: dict[str, Any], train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, lambda call: True)
    tables["run"]["on_nonfinite"] = "rewind"
    with pytest.raises(DivergedError, match="after 24 images"):  # three batches were skipped
        train(config_from_tables(tables, "the test"), tmp_path / "run")


def test_a_batch_that_always_fails_is_skipped_and_counted_through_kills(
    tables: dict[str, Any], train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two policies end alike where the fault is in the batch."""
    right, ends = methods.load_method("wgan_gp").critic_loss, []

    def loss(method: Any, step: Any) -> dict[str, Tensor]:
        terms = dict(right(method, step))
        return terms | {"distance": terms["distance"] * (float("inf") if step.images_seen in (40, 72) else 1)}

    monkeypatch.setattr(methods.load_method("wgan_gp"), "critic_loss", loss)
    tables["evaluate"]["every_images"] = 1000
    for policy in ("skip", "rewind"):
        tables["run"]["on_nonfinite"] = policy
        for images in (64, 80):  # a run that goes on
            tables["run"]["images"] = images
            shutil.rmtree(tmp_path / policy / "model", ignore_errors=True)
            train(config_from_tables(tables, "the test"), tmp_path / policy)
        assert final_metrics(tmp_path / policy)["skipped"] == 2
        assert snapshot(tmp_path / policy).facts["skipped"] == 2
        ends.append(digest(tmp_path / policy))
    assert ends[0] == ends[1]


# the best, and the end that is found


def scores_of(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """One evaluation after the other says these."""
    said = iter(values)
    monkeypatch.setattr("distgan.evaluations.kid.KidEvaluation.measure", lambda self, method: {"kid": next(said)})
    monkeypatch.setattr("distgan.evaluations.kid.KidEvaluation.figures", lambda self, method, seen: {})


def test_out_of_patience_a_run_ends_and_its_model_is_the_best(
    tables: dict[str, Any], train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores_of(monkeypatch, [3.0, 2.0, 5.0, math.nan, 1.0])
    tables["evaluate"] |= {"every_images": 16, "patience": 2}
    tables["register"] = {"which": "best"}
    tables["checkpoint"]["every_images"] = 1000
    config = config_from_tables(tables, "the test")
    train(config, tmp_path)
    assert places(tmp_path, "kid") == [0, 16, 32, 48, 64]
    model = load_model(tmp_path / "model")
    assert model.card["images_seen"] == 32
    assert model.card["metrics"]["kid"] == 2.0
    kept = torch.cat([value.flatten() for value in model.method.critic.state_dict().values()])
    chosen = Checkpoints(tmp_path / "checkpoints", 2).best({"images_seen": 32})
    critic = [chosen.state[f"method.critic.{name}"].flatten() for name in model.method.critic.state_dict()]
    assert torch.equal(kept, torch.cat(critic))
    assert model.card["state_sha256"] == chosen.facts["state_sha256"]


def test_a_run_that_ended_early_and_lost_its_model_does_not_train_on(
    tables: dict[str, Any], train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores_of(monkeypatch, [2.0, 5.0, 1.0])
    tables["evaluate"] |= {"every_images": 16, "patience": 1}
    config = config_from_tables(tables, "the test")
    train(config, tmp_path)
    shutil.rmtree(tmp_path / "model")
    train(config, tmp_path)
    assert load_model(tmp_path / "model").card["images_seen"] == 32


def test_a_best_that_nobody_measures_is_named(tables: dict[str, Any], train: Train, tmp_path: Path) -> None:
    tables["evaluate"]["best"] = "fid"
    with pytest.raises(RecipeError, match=r"'fid', and there are diversity/coverage.*kid"):
        train(config_from_tables(tables, "the test"), tmp_path)
