"""The figures of the integrated cell: what is read from models, runs and folders, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from distgan.assessment.cell_measures import correlations, psnrs
from distgan.config.run_config import RECIPES, config_from_tables
from distgan.engine.distributed import Group
from distgan.engine.initialisation import initialise
from distgan.engine.task import Task
from distgan.engine.trainer import Trainer
from distgan.figures import load_paper, read_settings
from distgan.figures.johnson.along import along
from distgan.figures.johnson.latent import latent
from distgan.figures.johnson.structures import AGAIN, EXAMPLES, predicted, reconstructed
from distgan.figures.johnson.tables import classes, dependence, together
from distgan.figures.johnson.weights import weights
from distgan.inference.integrate import structures
from distgan.inference.reconstruct import held_out_rows
from distgan.inference.told import samples_of
from distgan.method import Step, build
from distgan.methods import load_method
from distgan.model import load_model, save_model
from distgan.plots.figure_set import Asked, Drawn, LeftOut, write_set
from distgan.score import Asked as Target
from distgan.scores import cells as cells_score
from distgan.scores import dependence as dependence_score
from distgan.verbs.evaluate import write
from storage.errors import DataError, RecipeError
from storage.made import write_patches
from storage.patches import PatchStore

JOHNSON = load_paper("johnson")
KINDS = ("golgi", "lamin", "nucleoli")


def asked(home: Path, **settings: Any) -> Asked:
    return Asked(JOHNSON.Settings(paper="johnson", **settings), Path, home)


def only(found: Any) -> Drawn:
    (one,) = found
    assert isinstance(one, Drawn)
    return one


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    """60 cells of three structures."""
    images = np.random.default_rng(0).integers(0, 256, (60, 3, 8, 8), np.uint8)
    obs = pa.table({"structure": [KINDS[row % 3] for row in range(60)], "cell": [f"c{row:02d}" for row in range(60)]})
    facts = {"channels": ["membrane", "structure", "DNA"], "value_range": [0, 255], "pixel_um": [None, None]}
    facts |= {"source": "", "recipe": {}}
    return write_patches(tmp_path_factory.mktemp("cells") / "cells.zarr", images, obs, facts)


@pytest.fixture(scope="module")
def models(store: PatchStore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Phase 1, phase 2 that has taken its encoder over, and a beta-VAE; untrained."""
    folder, found = tmp_path_factory.mktemp("models"), {}
    for name in ("cell_autoencoder", "conditional_autoencoder", "conditional_beta_vae"):
        critics = {} if name == "conditional_beta_vae" else {"critic_width": 2, "critic_depth": 2, "code_width": 4}
        structure = {} if name == "cell_autoencoder" else {"structure": ["structure"]}
        reference = {"reference": ["membrane", "DNA"]}
        tables: dict[str, Any] = {
            "run": {"name": name, "images": 64, "batch_size": 4},
            "data": {"store": str(store.path), "split": {"by": "cell", "held_out": 0.4, "stratify": "structure"}},
            "method": {"name": name, "width": 2, "depth": 2, "latent": 3, **critics, **reference, **structure},
            "optimizer": {"lr": 1e-3},
            "evaluate": {"metrics": ["cells"], "every_images": 100},
            "checkpoint": {"every_images": 100},
        }
        if name == "conditional_autoencoder":
            phase_1 = {"model": found["cell_autoencoder"], "network": "encoder"}
            tables["init"] = {"reference_encoder": phase_1}
        config = config_from_tables(tables, "the test")
        task = Task.of(config, folder)
        method = build(load_method(name), config.method, task.sample, 0)
        initialise(method, config.init)
        trainer = Trainer(config, method, task.feed(Group(), torch.device("cpu")), Group())
        save_model(folder / name, trainer, store, {}, "none")
        found[name] = str(folder / name)
    return found


def test_the_recipe_names_what_every_part_needs() -> None:
    paper, settings = read_settings(RECIPES / "figures_johnson.toml")
    assert paper is JOHNSON
    assert all(getattr(settings, need) for part in JOHNSON.PARTS for need in part.needs)


def test_nothing_named_is_everything_left_out(tmp_path: Path) -> None:
    told = write_set(tmp_path / "out", JOHNSON.HEADING, JOHNSON.PARTS, asked(tmp_path))
    assert not told["figures"]
    assert len(told["left_out"]) == len(JOHNSON.PARTS)


def test_every_structure_is_predicted_in_the_same_cells(
    store: PatchStore, models: dict[str, str], tmp_path: Path
) -> None:
    address = models["conditional_autoencoder"]
    found = only(predicted(asked(tmp_path, real=str(store.path), structures={"phase 2": address})))
    cells = {row["cell"] for row in found.numbers}
    assert {(row["cell"], row["predicted"]) for row in found.numbers} == {
        (one, kind) for one in cells for kind in KINDS
    }
    model = load_model(Path(address))
    held_out = held_out_rows(model, store, None)
    first = found.numbers[0]
    row = int(held_out[first["cell"]])
    assert first["imaged"] == KINDS[row % 3]
    examples = [place for place, one in enumerate(held_out) if one % 3 == row % 3][:EXAMPLES]
    assert first["cell"] not in examples
    one = samples_of(model, store, [row])
    made = structures(model.method, one, Step(one, 0))  # type: ignore[arg-type]
    like = correlations(model.method, one.images.expand_as(made), made)  # type: ignore[arg-type]
    own = [line["correlation with imaged"] for line in found.numbers if line["cell"] == first["cell"]]
    assert own == pytest.approx(like.tolist())
    frames = found.figure.axes[0].patches
    assert len(frames) == len(cells)


def test_a_model_without_structures_is_refused(store: PatchStore, models: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="knows no structures"):
        list(predicted(asked(tmp_path, real=str(store.path), structures={"phase 1": models["cell_autoencoder"]})))


def test_cells_made_again_have_the_signal_to_noise_of_what_a_model_makes(
    store: PatchStore, models: dict[str, str], tmp_path: Path
) -> None:
    settings = {"shapes": models["cell_autoencoder"], "structures": {"beta-VAE": models["conditional_beta_vae"]}}
    found = only(reconstructed(asked(tmp_path, real=str(store.path), **settings)))
    assert len(found.numbers) == 2 * 2 * AGAIN
    model = load_model(Path(models["conditional_beta_vae"]))
    batch = samples_of(model, store, held_out_rows(model, store, AGAIN))
    again: Any = model.method
    with torch.no_grad():
        values = psnrs(again.light(batch.images), again.light(again.reconstruction(batch)))
    own = [one["PSNR [dB]"] for one in found.numbers if (one["set"], one["model"]) == ("held-out cells", "beta-VAE")]
    assert own == pytest.approx(values.tolist())


def test_a_latent_space_has_a_row_for_each_dimension_those_that_tell_most_first(
    store: PatchStore, models: dict[str, str], tmp_path: Path
) -> None:
    settings = {"shapes": models["cell_autoencoder"], "structures": {"beta-VAE": models["conditional_beta_vae"]}}
    shapes, vae = latent(asked(tmp_path, real=str(store.path), **settings))
    assert isinstance(shapes, Drawn)
    assert isinstance(vae, Drawn)
    for drawn, telling in ((shapes, "effect"), (vae, "divergence [nats]")):
        values = [row[telling] for row in drawn.numbers]
        assert values == sorted(values, reverse=True)
        assert {row["dimension"] for row in drawn.numbers} == {0, 1, 2}
    assert f"dimension {shapes.numbers[0]['dimension']} " in shapes.figure.axes[0].get_xlabel()
    assert not shapes.figure.axes[0].get_legend()
    assert {text.get_text() for text in vae.figure.axes[0].get_legend().get_texts()} == set(KINDS)


def test_without_models_there_is_no_latent_space(store: PatchStore, tmp_path: Path) -> None:
    (left,) = latent(asked(tmp_path, real=str(store.path)))
    assert isinstance(left, LeftOut)


def test_the_folders_of_scores_are_drawn_as_they_are(models: dict[str, str], tmp_path: Path) -> None:
    settings = cells_score.Settings(resamples=100, draws=2)
    for name in ("cell_autoencoder", "conditional_autoencoder"):
        write(tmp_path / name, cells_score.score(Target(models[name], settings, tmp_path)))
    other = dependence_score.Settings(resamples=100, permutations=2)
    told = dependence_score.score(Target(models["conditional_autoencoder"], other, tmp_path))
    write(tmp_path / "dependence", told)
    scores = {"phase 2": str(tmp_path / "conditional_autoencoder"), "phase 1": str(tmp_path / "cell_autoencoder")}
    facts = json.loads((tmp_path / "conditional_autoencoder" / "score.json").read_text())
    for part in (classes, together):
        found, left = part(asked(tmp_path, scores=scores))
        assert isinstance(found, Drawn)
        assert isinstance(left, LeftOut)
        assert found.numbers == facts["accuracy" if part is classes else "colocalisation"]
    found = only(classes(asked(tmp_path, scores={"phase 2": scores["phase 2"]})))
    counts = np.asarray([[row[kind] for kind in KINDS] for row in facts["confusion"]])
    shares = np.asarray(found.figure.axes[1].images[0].get_array())
    assert shares == pytest.approx(counts / counts.sum(1, keepdims=True))
    found = only(dependence(asked(tmp_path, dependence={"phase 2": str(tmp_path / "dependence")})))
    assert found.numbers == told.facts["scores"]
    assert len(found.figure.axes) == 3
    with pytest.raises(DataError, match="holds no cells"):
        list(classes(asked(tmp_path, scores={"phase 2": str(tmp_path / "dependence")})))


def run(folder: Path, lines: list[dict[str, float]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told = [{"images_seen": 1000 * number, "metrics": metrics} for number, metrics in enumerate(lines)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in told))


def test_training_curves_have_every_loss_and_the_mean_image(tmp_path: Path) -> None:
    losses = {"loss/real_image": 0.5, "loss/reconstruction": 0.1}
    run(tmp_path / "runs" / "one", [{"psnr": 6.0, "psnr_mean": 24.0}, losses, losses | {"psnr": 20.0}])
    found = only(along(asked(tmp_path, runs={"phase 1": "one"})))
    above, below = found.figure.axes
    assert [line.get_label() for line in above.lines] == ["real image", "reconstruction"]
    assert list(above.lines[0].get_xdata()) == [1, 2]
    assert list(below.lines[0].get_ydata()) == [20]  # the untrained networks are in the table alone
    assert list(below.lines[1].get_ydata()) == [24, 24]
    run(tmp_path / "runs" / "other", [{"psnr": 6.0}])
    with pytest.raises(DataError, match="has no losses"):
        list(along(asked(tmp_path, runs={"other": "other"})))


def test_trials_stand_at_their_weights_and_those_that_go_on_do_not_stand(tmp_path: Path) -> None:
    for number, (code, image) in enumerate(((0.0, 0.0), (0.0, 1e-3), (1e-2, 0.0), (1e-2, 1e-3), (1e-2, 1e-3))):
        trial = tmp_path / "searches" / "gamma" / "trials" / f"{number:04d}"
        run(trial, [{"normality": 9.0}, {"normality": float(number), "psnr": 30.0}])
        point = {"method.code_weight": code, "method.image_weight": image}
        (trial / "trial.json").write_text(json.dumps({"point": point}))
        if number != 2:
            (trial / "result.json").write_text("{}")
    found = only(weights(asked(tmp_path, search="gamma")))
    normality, psnr = found.figure.axes  # nobody measured KID
    values = np.ma.filled(np.ma.asarray(normality.images[0].get_array()), np.nan)
    assert np.isnan(values[1, 0])
    assert (values[0, 0], values[0, 1], values[1, 1]) == (0, 1, 3.5)
    assert normality.texts[3].get_text() == "3.5\nof 2"
    assert "PSNR" in psnr.get_title()


def test_a_search_over_other_things_is_refused(tmp_path: Path) -> None:
    trial = tmp_path / "searches" / "other" / "trials" / "0000"
    run(trial, [{"psnr": 30.0}])
    (trial / "trial.json").write_text(json.dumps({"point": {"run.seed": 1}}))
    (trial / "result.json").write_text("{}")
    with pytest.raises(DataError, match="no trials to show"):
        list(weights(asked(tmp_path, search="other")))
