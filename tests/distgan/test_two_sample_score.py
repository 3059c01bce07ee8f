"""`distgan evaluate two_sample`: a model class by class, and the classes of a store against each other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pyarrow import csv

from distgan.config.run_config import config_from_tables
from distgan.data.batches import Feed, choose, known_of, sample_of
from distgan.engine.distributed import Group
from distgan.engine.initialisation import initialise
from distgan.engine.task import Task
from distgan.engine.trainer import Trainer
from distgan.method import Batch, Step, build
from distgan.methods import load_method
from distgan.metrics.two_sample import drawn_from
from distgan.model import load_model, save_model
from distgan.score import Asked, Told
from distgan.scores import two_sample
from storage.errors import RecipeError
from storage.manifest import committed
from storage.patches import KIND, PatchStore
from storage.store import create_array, write_shard

KINDS = ("dark", "bright")
QUICK: dict[str, Any] = {"steps": 30, "width": 2, "rate": 3e-3, "batch": 8, "splits": 2, "passes": 1}
Score = Callable[..., Told]


@pytest.fixture
def store(tmp_path: Path) -> PatchStore:
    """Images of two classes, which differ in green alone; 10 of each in each of six fields."""
    target, random = tmp_path / "store.zarr", np.random.default_rng(0)
    kinds = np.arange(120) % 2
    images = random.integers(80, 120, (120, 2, 8, 8))
    images[:, 1] += 70 * kinds[:, None, None]
    facts: dict[str, Any] = {
        "channels": ["red", "green"],
        "labels": [],
        "value_range": [0, 200],
        "pixel_um": [None, None],
        "source": "none",
    }
    with committed(target, KIND, facts) as folder:
        create_array(folder / "images", images.shape, "uint8", (20, 2, 8, 8), (120, 2, 8, 8), ("sample", "c", "y", "x"))
        write_shard(folder / "images", 0, images.astype(np.uint8))
        columns = {"kind": [KINDS[kind] for kind in kinds], "field": np.arange(120) // 20}
        pq.write_table(pa.table(columns), folder / "obs.parquet")
    return PatchStore.open(target)


@pytest.fixture
def model(store: PatchStore, tmp_path: Path) -> Path:
    """A star whose greens are as they began."""
    tables: dict[str, Any] = {
        "run": {"name": "tiny", "images": 100, "batch_size": 8},
        "data": {"store": str(store.path), "split": {"by": "field", "held_out": 0.5}, "strata": "kind"},
        "method": {"name": "star_gan", "column": "kind", "noise": 2, "width": 2, "critic_width": 2},
        "optimizer": {"lr": 1e-4},
        "evaluate": {"every_images": 100},
        "checkpoint": {"every_images": 100},
    }
    config = config_from_tables(tables, "the test")
    sample = sample_of(store, config.data, ("kind",))
    rows = np.arange(20)
    feed = Feed(store, rows, 0, torch.device("cpu"), known=known_of(store, rows, sample))
    trainer = Trainer(config, build(load_method("star_gan"), config.method, sample, 0), feed, Group())
    save_model(tmp_path / "model", trainer, store, {}, "none")
    return tmp_path / "model"


def scored(target: Path, tmp_path: Path, **keys: Any) -> Told:
    return two_sample.score(Asked(str(target), two_sample.Settings(**(QUICK | keys)), tmp_path))


def test_a_store_s_classes_differ_from_each_other_in_green_and_not_in_red(store: PatchStore, tmp_path: Path) -> None:
    split = {"by": "field", "held_out": 0.5}
    told = scored(store.path, tmp_path, by="kind", split=split, group="field")
    found = {(row["channels"], row["class"], row["of"]): row["auc"] for row in told.facts["scores"]}
    assert len(found) == 8
    for kind, other in (KINDS, KINDS[::-1]):
        assert found["all", kind, other] > 0.9
        assert found["all", kind, kind] < 0.8
        assert found["first", kind, other] < 0.8
    csv.write_csv(told.tables["scores"], tmp_path / "scores.csv")
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 9
    assert set(told.figures) == {"wgan_gp all", "wgan_gp first"}
    assert len(told.figures["wgan_gp all"]().axes[0].texts) == 4


def test_a_model_is_scored_class_by_class_beside_the_training_images(model: Path, tmp_path: Path) -> None:
    told = scored(model, tmp_path, by="kind", kinds=("cross_entropy",), red=False)
    found = {(row["of"], row["class"]): row for row in told.facts["scores"]}
    assert set(found) == {(of, kind) for of in ("made", "training images") for kind in KINDS}
    for kind in KINDS:
        made, real = found["made", kind], found["training images", kind]
        assert made["median"] > real["median"]
        assert made["auc"] > 0.95 > 0.8 > real["auc"]
        assert len(made["values"]) == 2


def test_without_a_floor_the_model_alone_is_scored(model: Path, tmp_path: Path) -> None:
    told = scored(model, tmp_path, by="kind", kinds=("cross_entropy",), red=False, floor=False, steps=1)
    assert [(row["of"], row["class"]) for row in told.facts["scores"]] == [("made", kind) for kind in sorted(KINDS)]


def test_a_model_that_knows_classes_makes_those_asked_for(model: Path, store: PatchStore) -> None:
    star = load_model(model)
    settings = two_sample.Settings(**QUICK, by="kind")
    assert len(choose(store, star.config.data).held_out) == 60
    for number, kind in enumerate(star.method.sample.classes["kind"]):
        shown = torch.zeros(4, 2, 8, 8)
        images = two_sample._made(star, two_sample._Class(kind, shown, shown, None), settings)(3, 10)
        step = Step(Batch(drawn_from(shown)(3, 10), {"kind": torch.full((3,), number)}), 10)
        assert torch.equal(images, star.method.preview(step))


def cells_of(name: str, store: PatchStore, folder: Path, **tables: Any) -> Path:
    """The folder of a model of cells whose red is the reference and whose green is the structure, as it began."""
    critics = {} if name == "conditional_beta_vae" else {"critic_width": 2, "critic_depth": 2, "code_width": 4}
    structure = {} if name == "cell_autoencoder" else {"structure": ["green"], "column": "kind"}
    recipe: dict[str, Any] = {
        "run": {"name": name, "images": 100, "batch_size": 8},
        "data": {"store": str(store.path), "split": {"by": "field", "held_out": 0.5}},
        "method": {"name": name, "width": 2, "depth": 2, "latent": 3, "reference": ["red"], **structure, **critics},
        "optimizer": {"lr": 1e-3},
        "evaluate": {"metrics": ["cells"], "every_images": 100},
        "checkpoint": {"every_images": 100},
    }
    config = config_from_tables(recipe | tables, "the test")
    task = Task.of(config, folder)
    method = build(load_method(name), config.method, task.sample, 0)
    initialise(method, config.init)
    trainer = Trainer(config, method, task.feed(Group(), torch.device("cpu")), Group())
    save_model(folder / name, trainer, store, {}, "none")
    return folder / name


def test_cells_are_scored_structure_by_structure(store: PatchStore, tmp_path: Path) -> None:
    shapes = cells_of("cell_autoencoder", store, tmp_path)
    init = {"reference_encoder": {"model": str(shapes), "network": "encoder"}}
    phase_2 = cells_of("conditional_autoencoder", store, tmp_path, init=init)
    told = scored(phase_2, tmp_path, by="kind", kinds=("cross_entropy",), red=False, steps=60)
    found = {(row["of"], row["class"]): row["auc"] for row in told.facts["scores"]}
    assert set(found) == {(of, kind) for of in ("made", "training images") for kind in KINDS}
    # What an untrained decoder makes is as grey as the dark structure, and as the bright one is not.
    assert found["made", "bright"] > 0.95 > 0.8 > found["training images", "bright"]


def test_what_a_model_of_cells_does_not_make_stays_as_it_is_in_the_cells_it_is_shown(
    store: PatchStore, tmp_path: Path
) -> None:
    model = load_model(cells_of("conditional_beta_vae", store, tmp_path))
    shown = torch.rand(12, 2, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    settings = two_sample.Settings(**QUICK, by="kind")
    images = two_sample._made(model, two_sample._Class("bright", shown, shown, None), settings)(5, 10)
    batch = Batch(drawn_from(shown)(5, 10), {"kind": torch.full((5,), KINDS[::-1].index("bright"))})
    assert torch.equal(images[:, 0], batch.images[:, 0])
    assert torch.equal(images[:, 1], model.method.preview(Step(batch, 10))[:, 1])
    assert not torch.equal(images[:, 1], batch.images[:, 1])


def test_classes_of_another_column_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"depend on kind.*two_sample\.by is 'field'"):
        scored(model, tmp_path, by="field", split={"by": "kind", "leave_out": "dark"})


def test_nothing_held_out_is_refused(store: PatchStore, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"Set two_sample\.split"):
        scored(store.path, tmp_path, by="kind")
