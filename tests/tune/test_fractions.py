"""A whole sweep: in this process, where Ray is a loop, and once on Ray."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.home import Home
from distgan.config.run_config import config_from_tables
from storage.errors import InterruptedRun, MissingError, RecipeError
from tune import fractions, packed
from tune.fractions import status, sweep, sweep_folder
from tune.warm_up import FACTS, preview

Work = Callable[[int], None]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_token: None) -> Home:
    """An empty $DISTGAN_HOME, no addresses from outside, and the token of the tests."""
    monkeypatch.setenv("DISTGAN_HOME", str(tmp_path / "home"))
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Home.here()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    """No Ray: packs are trained in this process, in turn."""

    def loop(work: Work, count: int, slots: int, **_: Any) -> None:
        for number in range(count):
            work(number)

    class Joined:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("tune.warm_up.MORE", 4)
    monkeypatch.setattr(fractions, "run_on_tune", loop)
    monkeypatch.setattr(fractions, "joined", lambda *_: Joined())
    monkeypatch.setattr(fractions, "room", lambda _: 1)


def run(tables: dict[str, Any], home: Home, *, resume: bool = False) -> dict[str, Any]:
    return sweep(config_from_tables(tables, "the test"), tables, home, resume=resume)


def digests(home: Home) -> dict[str, str]:
    paths = (home.path / "sweeps" / "sweep" / "results").glob("*.json")
    return {path.stem: json.loads(path.read_text())["state_sha256"] for path in paths}


@pytest.mark.usefixtures("here")
def test_a_sweep_is_trained_told_and_delivered(
    sweep_tables: dict[str, Any], home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(sweep_tables, home)
    assert [(row["variant"], row["share"], row["trained"]) for row in found["table"]] == [
        ("slow", 0.5, 2),
        ("slow", 1.0, 2),
        ("fast", 0.5, 2),
        ("fast", 1.0, 2),
    ]
    assert {Path(path).name for path in found["files"]} == {
        "fractions.json",
        "fractions.csv",
        "differences.csv",
        "fractions.png",
    }
    told = capsys.readouterr().err
    assert "8 trainings (2 shares x 2 repeats x 1 fold x 2 variants), 256 images in all" in told
    children = delivered(home, found["run_id"])
    assert sorted(children) == sorted(digests(home))
    assert children["slow-0.5-r01"].data.params["share"] == "0.5"
    assert children["slow-0.5-r01"].data.metrics["kid"] > 0
    seen = status(config_from_tables(sweep_tables, "the test"), home)
    assert (seen["members"], seen["trained"], seen["seconds_left"]) == (8, 8, 0)
    with pytest.raises(RecipeError, match="there is a sweep sweep already"):
        run(sweep_tables, home)
    run(sweep_tables, home, resume=True)
    assert len(delivered(home, found["run_id"])) == 8


def delivered(home: Home, parent: str) -> dict[str, Any]:
    from cluster.tracking import PARENT, connect

    client = connect(home)
    experiment = client.get_run(parent).info.experiment_id
    runs = client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'")
    assert len({one.info.run_name for one in runs}) == len(runs)
    return {one.info.run_name: one for one in runs}


@pytest.mark.usefixtures("here")
def test_a_sweep_that_was_stopped_goes_on_and_ends_the_same(
    sweep_tables: dict[str, Any], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, begun = packed.train_member, []

    def train_member(sweep: Path, name: str, *arguments: Any, **keywords: Any) -> None:
        begun.append(name)
        if len(begun) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1.0)  # the main thread hears it
        real(sweep, name, *arguments, **keywords)

    monkeypatch.setattr(packed, "train_member", train_member)
    with pytest.raises(InterruptedRun, match=r"asked to stop.*6 of 8 trainings have no result"):
        run(sweep_tables, home)
    seen = status(config_from_tables(sweep_tables, "the test"), home)
    assert seen["trained"] == 2
    assert seen["report"]["table"][0]["trained"] + seen["report"]["table"][1]["trained"] == 1
    before = digests(home)
    run(sweep_tables, home, resume=True)
    after = digests(home)
    assert before.items() < after.items()
    assert begun[3:] == [name for name in begun[3:] if name not in before]
    assert len(set(after.values())) == 8


@pytest.mark.usefixtures("here")
def test_a_metric_that_no_training_reports_is_refused_after_the_warm_up(
    sweep_tables: dict[str, Any], home: Home
) -> None:
    sweep_tables["fractions"]["metric"] = "kidd"
    with pytest.raises(
        RecipeError, match=r"no training reports 'kidd'.*variant slow reports.*Set fractions.metric to 'kid'"
    ):
        run(sweep_tables, home)
    assert not (home.path / "sweeps" / "sweep" / "results").exists()


@pytest.mark.usefixtures("here")
def test_another_recipe_does_not_go_on_with_a_sweep(sweep_tables: dict[str, Any], home: Home) -> None:
    sweep_tables["fractions"] |= {"repeats": 1, "shares": [1.0]}
    run(sweep_tables, home)
    sweep_tables["fractions"]["target"] = 3.0  # only the report
    assert run(sweep_tables, home, resume=True)["curves"][0]["a"] is None
    sweep_tables["run"]["images"] = 64
    with pytest.raises(RecipeError, match=r"began with another recipe.*run.images was 32 and is 64"):
        run(sweep_tables, home, resume=True)


def test_a_sweep_that_was_not_begun_has_no_status(sweep_tables: dict[str, Any], home: Home) -> None:
    with pytest.raises(MissingError, match="was not begun"):
        status(config_from_tables(sweep_tables, "the test"), home)


def test_the_preview_counts_what_is_left() -> None:
    one = {"share": 0.5, "fold": "", "variant": "a", "tables": {"run": {"images": 1000}}}
    members = [one | {"repeat": repeat} for repeat in range(20)]
    facts = {"a": {"seconds_per_image": 0.01, "other_seconds": 2.0}}
    assert preview(members, 20, facts, 2) == (
        "20 trainings (1 share x 20 repeats x 1 fold x 1 variant), 20,000 images in all; about 0:02:00 with 2 at once"
    )
    assert "of which 5 are left; about 0:00:30" in preview(members, 5, facts, 2)


@pytest.mark.cluster
@pytest.mark.slow
def test_on_ray_a_sweep_is_the_same(
    sweep_tables: dict[str, Any], home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep_tables["fractions"] |= {"repeats": 1, "shares": [1.0]}
    found = run(sweep_tables, home)
    assert [row["trained"] for row in found["table"]] == [1, 1]
    folder = sweep_folder(home, config_from_tables(sweep_tables, "the test"))
    plan = json.loads((folder / "plan.json").read_text())
    assert (folder / FACTS).exists()
    name = plan["members"][1]["name"]
    tables = plan["members"][1]["tables"]
    on_ray = digests(home)[name]
    (folder / "results" / f"{name}.json").unlink()
    packed.train_member(folder, name, tables, keep_all=False)
    assert digests(home)[name] == on_ray
    assert "trial" not in capsys.readouterr().out.lower()  # Ray Tune is quiet
