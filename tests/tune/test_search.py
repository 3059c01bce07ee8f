"""`distgan tune` as a user starts it: killed, stopped and resumed; its end is that of the trials by themselves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from cluster.home import Home
from cluster.registry import list_versions
from cluster.tracking import PARENT, connect
from distgan.verbs import parser
from storage.cuts import Cut
from storage.errors import MissingError, RecipeError
from storage.ingest import ingest
from storage.preprocess import Preparation, prepare
from tune.catalogue import Catalogue
from tune.search import search_folder

pytestmark = pytest.mark.cluster

RECIPE = """
[run]
name = "tiny"
images = 960
batch_size = 16
log_every_images = 160
[data]
store = "{store}"
split = {{ by = "file", held_out = 0.3 }}
[method]
name = "wgan_gp"
preset = "small"
width = 4
critic_width = 4
critic_steps = 2
[evaluate]
every_images = 160
samples = 100
[checkpoint]
every_images = 160
[tune]
trials = 3
concurrency = 2
[tune.space]
"optimizer.lr" = {{ loguniform = [1e-5, 1e-3] }}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe, with a store of 384 patches of 32 x 32."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "raw").mkdir()
    random = np.random.default_rng(0)
    for number in range(24):
        Image.fromarray(random.integers(0, 256, (128, 128), np.uint8)).save(folder / "raw" / f"p{number:02d}.png")
    ingest(folder / "raw", folder / "images.zarr")
    prepare(folder / "images.zarr", folder / "patches.zarr", Preparation(Cut("tiled", (32, 32))))
    (folder / "tiny.toml").write_text(RECIPE.format(store=folder / "patches.zarr"))
    return folder / "tiny.toml"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("DISTGAN_HOME", str(tmp_path / "home"))
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Home.here()


def start(recipe: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "distgan.cli", "tune", str(recipe), "--json", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def wait_for(happened: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    for _ in range(8000):
        if happened():
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    pytest.fail("it never happened")


def call(*arguments: str) -> dict[str, Any]:
    """A verb in this process."""
    options = parser().parse_args(["tune", *arguments])
    result: dict[str, Any] = options.verb(options)
    return result


def essence(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(one["trial"], one["state"], one["images_seen"], one["kid"], one["point"]) for one in result["trials"]]


@pytest.mark.slow
def test_a_search_that_is_killed_and_stopped_ends_as_one_that_is_not(recipe: Path, home: Home) -> None:
    undisturbed = finish(start(recipe, "--set", "run.name=whole"))
    assert [one["state"] for one in undisturbed["trials"]] == ["finished"] * 3
    catalogue = Catalogue(search_folder(home, "tiny"))

    process = start(recipe)
    wait_for(lambda: any(catalogue.folder.glob("trials/*/checkpoints/images-*")), process)
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    psutil.wait_procs(below, timeout=60)
    with pytest.raises(RecipeError, match="already"):
        call(str(recipe))

    process = start(recipe, "--resume")
    wait_for(lambda: any(catalogue.folder.glob("trials/*/result.json")), process)
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 75, err
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "interrupted"
    standing = call(str(recipe), "--status")
    assert 1 <= standing["ended"] < 3
    assert not standing["running"]
    written = {path: path.stat().st_mtime_ns for path in catalogue.folder.glob("trials/*/result.json")}

    result = finish(start(recipe, "--resume"))
    assert essence(result) == essence(undisturbed)
    assert result["best"]["trial"] == undisturbed["best"]["trial"]
    assert {path: path.stat().st_mtime_ns for path in written} == written, "none is run twice"

    client = connect(home)
    parent = client.get_run(result["run_id"])
    children = client.search_runs([parent.info.experiment_id], f"tags.`{PARENT}` = '{result['run_id']}'")
    assert sorted(run.info.run_name for run in children) == ["tiny-0000", "tiny-0001", "tiny-0002"]
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    (version,) = list_versions(home, "tiny")
    tags = client.get_model_version("tiny", str(version.version)).tags
    assert (tags["distgan.search_run"], tags["distgan.trial"]) == (result["run_id"], str(result["best"]["trial"]))


@pytest.mark.slow
def test_a_population_goes_on_from_copies_of_the_best(recipe: Path, home: Home) -> None:
    sets = ("tune.scheduler='pbt'", "tune.trials=2", "tune.every_images=160", "tune.grace_images=160")
    result = finish(start(recipe, *(part for one in sets for part in ("--set", one))))
    assert [one["state"] for one in result["trials"]] == ["finished"] * 2
    copies = [one for one in result["trials"] if "clones" in one]
    assert copies, "nothing was copied"
    catalogue = Catalogue(search_folder(home, "tiny"))
    for one in copies:
        trial = catalogue.trial(one["trial"])
        assert {ancestor.trial for ancestor in trial.lineage} == {1 - trial.number}
        kept = json.loads((catalogue.run(trial.number) / "recipe.json").read_text())
        assert (
            kept["optimizer"]["critic"]["lr"] == trial.lineage[-1].point["optimizer.lr"] == one["point"]["optimizer.lr"]
        )


def test_what_cannot_be_searched_is_told_before_anything_is_started(recipe: Path, home: Home) -> None:
    with pytest.raises(RecipeError, match=r"did you mean method\.critic_width"):
        call(str(recipe), "--set", "tune.space.method.critic_widht={int=[4,8]}")
    with pytest.raises(MissingError, match="was not begun"):
        call(str(recipe), "--status")
    with pytest.raises(RecipeError, match="neither"):
        call("rosette_wgan_gp")
    assert not search_folder(home, "tiny").joinpath("trials").exists()
