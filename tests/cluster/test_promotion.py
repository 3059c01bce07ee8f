"""The gate before an alias: who passes, who is refused and with which figures, and what is never compared."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cluster.home import Home
from cluster.lineage import lineage
from cluster.promotion import Measured, no_worse, promote
from cluster.registry import Version, find, register
from cluster.tracking import Delivery
from distgan.cli import main
from distgan.config.run_config import read_config
from distgan.engine.distributed import Group
from distgan.engine.running import run, write_recipe
from distgan.evaluations.kid import FEATURES
from storage.cuts import Cut
from storage.errors import GateError, RecipeError
from storage.ingest import ingest
from storage.layout import Layout
from storage.preprocess import Preparation, prepare

HARDLY = ("run.images=16",)
"""Of so few images a GAN learns only to be worse than its first weights, and the test has its worse model."""


@pytest.mark.parametrize(
    ("challenger", "champion", "lower", "passes"),
    [
        ((0.10, 0.08, 0.12), 0.20, True, True),
        ((0.10, 0.08, 0.21), 0.20, True, False),  # its interval does not say so
        ((0.30, 0.25, 0.35), 0.20, True, False),
        ((0.90, 0.86, 0.94), 0.85, False, True),
        ((0.90, 0.84, 0.94), 0.85, False, False),
        ((0.80, 0.75, 0.85), 0.85, False, False),
        ((0.90, None, None), 0.90, False, True),  # without an interval, the values are compared
        ((0.89, None, None), 0.90, False, False),
    ],
)
def test_the_bad_end_must_be_no_worse_than_the_champion(
    challenger: tuple[float, float | None, float | None], champion: float, lower: bool, passes: bool
) -> None:
    assert no_worse(Measured("new", *challenger), Measured("old", champion, None, None), lower=lower) is passes


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTGAN_HOME", str(tmp_path_factory.mktemp("promotion") / "home"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield Home.here()


def trained(home: Home, recipe: Path, name: str, *overrides: str) -> Version:
    """A registered model of the name `tiny`."""
    config = read_config(recipe, [f"run.name={name}", "run.workers=1", "register.name=tiny", *overrides])
    folder = home.run(name)
    write_recipe(folder, config)
    if (home.run("first") / FEATURES).exists() and config.data.split == read_config(recipe).data.split:
        shutil.copy(home.run("first") / FEATURES, folder)  # they would be the same, and take seconds
    run(config, folder, Group(), torch.device("cpu"))
    delivery = Delivery(home, folder, name)
    delivery.deliver()
    version = register(home, folder / "model", delivery.run_id, config.register_.name, "candidate")
    delivery.end("FINISHED")
    return version


@pytest.fixture(scope="module")
def champion(home: Home, recipe: Path) -> Version:
    version = trained(home, recipe, "first", *HARDLY)
    first = promote(home, "tiny", "champion")
    assert (first.champion, first.metric, first.lower) == (None, "kid", True)
    return version


def test_a_worse_one_is_refused_with_the_figures_and_nothing_moves(
    home: Home, recipe: Path, champion: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = trained(home, recipe, "worse", "run.images=640")
    assert main(["models", "promote", "tiny", "--to", "champion", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "gate"
    assert worse.address in error["wrong"]
    assert f"{worse.address} " in error["found"]
    assert f"{champion.address} " in error["found"]
    assert find(home, "models:/tiny@champion").version == champion.version


def test_a_better_one_passes_and_its_figures_are_kept_with_it(home: Home, recipe: Path, champion: Version) -> None:
    worse = find(home, "models:/tiny/2")
    promote(home, worse.address, "second")  # the first of another alias
    found = promote(home, champion.address, "second")
    assert found.champion is not None
    assert found.challenger.high is not None
    assert found.challenger.high <= found.champion.value
    assert find(home, "models:/tiny@second").version == champion.version
    noted = json.loads(find(home, "models:/tiny@second").tags["distgan.promoted.second"])
    assert noted["challenger"]["value"] == found.challenger.value
    assert noted["frozen"] == found.frozen
    with pytest.raises(GateError, match="is second already"):
        promote(home, champion.address, "second")


def test_the_champion_is_measured_as_when_it_was_registered(home: Home, recipe: Path, champion: Version) -> None:
    kept = json.loads((home.run("first") / "model" / "model.json").read_text())["metrics"]["kid"]
    with pytest.raises(GateError) as refused:
        promote(home, "models:/tiny/2", "champion")
    assert f"{champion.address} {kept:.4g}" in refused.value.found


def test_one_that_has_seen_the_images_is_refused(home: Home, recipe: Path, champion: Version) -> None:
    seen = trained(home, recipe, "seen", *HARDLY, "data.split.seed=5")
    with pytest.raises(RecipeError, match="has seen images"):
        promote(home, seen.address, "champion")


def test_images_that_neither_has_seen_judge_as_well(
    home: Home, champion: Version, patches: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="has seen images"):
        promote(home, "models:/tiny/2", "champion", on=patches)
    random = np.random.default_rng(7)
    (tmp_path / "raw").mkdir()
    for number in range(8):
        picture = random.integers(0, 256, (128, 128), np.uint8)
        Image.fromarray(picture).save(tmp_path / "raw" / f"emb{number}.png")
    ingest(tmp_path / "raw", tmp_path / "images.zarr", Layout(lambda file: {"embryo": file[:4]}))
    prepare(tmp_path / "images.zarr", tmp_path / "new.zarr", Preparation(Cut("tiled", (32, 32))))
    promote(home, "models:/tiny/2", "third")
    try:  # noise is like neither: who wins does not matter, but on what
        told = f"{promote(home, champion.address, 'third', on=tmp_path / 'new.zarr').images} images"
    except GateError as refused:
        told = refused.found
    assert "128 images" in told


def test_numbers_without_an_interval_make_no_first_champion(home: Home, recipe: Path, tmp_path: Path) -> None:
    version = trained(home, recipe, "bare", *HARDLY, "register.name=bare", "evaluate.best=diversity/duplicates")
    with pytest.raises(GateError, match="not whole"):
        promote(home, version.address, "champion")


def test_lineage_goes_from_the_raw_files_to_the_model_that_took_its_critic(
    home: Home, recipe: Path, champion: Version
) -> None:
    model = home.run("first") / "model"
    child = trained(
        home,
        recipe,
        "child",
        *HARDLY,
        "register.name=child",
        f"init.critic={{ model='{model}', address='{champion.address}', digest='{champion.digest}' }}",
    )
    below = lineage(home, child.address)
    (parent,) = below["begun with"]
    assert (parent["network"], parent["model"]) == ("critic", champion.address)
    assert parent["data"]["raw"]["files"] == 24
    assert parent["data"]["patch store"]["there"]
    above = lineage(home, champion.address)
    assert [one["model"] for one in above["used by"]] == [child.address]
