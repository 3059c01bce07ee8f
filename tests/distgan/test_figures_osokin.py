"""The figures of Osokin et al.: what is read from models, runs and folders, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from distgan.config.run_config import RECIPES, config_from_tables
from distgan.engine.distributed import Group
from distgan.engine.task import Task
from distgan.engine.trainer import Trainer
from distgan.figures import load_paper, read_settings
from distgan.figures.osokin.along import along
from distgan.figures.osokin.films import films
from distgan.figures.osokin.greens import DRAWS, REDS, greens
from distgan.figures.osokin.joint import STAGE, TOGETHER, joint
from distgan.figures.osokin.reconstructions import reconstructions
from distgan.figures.osokin.samples import SHOWN, samples
from distgan.figures.osokin.two_sample import of_classes, of_models
from distgan.inference.hold import diversity, held
from distgan.inference.interpolate import by_size, drawn, interpolate
from distgan.inference.invert import Search
from distgan.inference.reconstruct import reconstruct
from distgan.method import build
from distgan.methods import load_method
from distgan.model import load_model, save_model
from distgan.plots.figure_set import Asked, Drawn, LeftOut, write_set
from storage.csv_table import read_table
from storage.errors import DataError, MissingError, RecipeError
from storage.made import write_patches
from storage.patches import PatchStore

OSOKIN = load_paper("osokin")
PROTEINS = ("Alp14", "Arp3", "Cki2")


def asked(home: Path, **settings: Any) -> Asked:
    return Asked(OSOKIN.Settings(paper="osokin", **settings), Path, home)


def only(found: Any) -> Drawn:
    (one,) = found
    assert isinstance(one, Drawn)
    return one


def write_store(target: Path, seed: int) -> PatchStore:
    images = np.random.default_rng(seed).integers(0, 256, (36, 2, 16, 24), np.uint8)
    obs = pa.table(
        {
            "protein": [PROTEINS[row % 3] for row in range(36)],
            "field": [row // 12 for row in range(36)],
            "sha256_pixels": [str(row) for row in range(36)],
        }
    )
    facts = {"channels": ["red", "green"], "value_range": [0, 255], "pixel_um": [0.1, 0.2], "source": "", "recipe": {}}
    return write_patches(target, images, obs, facts)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    """12 cells of each of three proteins; those of the last field are held out."""
    return write_store(tmp_path_factory.mktemp("cells") / "cells.zarr", 0)


@pytest.fixture(scope="module")
def star(store: PatchStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A star whose cells differ, untrained."""
    folder = tmp_path_factory.mktemp("star")
    tables: dict[str, Any] = {
        "run": {"name": "tiny", "images": 1000, "batch_size": 12},
        "data": {"store": str(store.path), "split": {"by": "field", "leave_out": 2}, "strata": "protein"},
        "method": {"name": "star_wgan_gp", "noise": 4, "width": 4, "critic_width": 4},
        "evaluate": {"every_images": 100},
        "checkpoint": {"every_images": 100},
    }
    config = config_from_tables(tables, "the test")
    task = Task.of(config, folder)
    method = build(load_method(config.method.name), config.method, task.sample, 0)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in method.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=random) * (3 / weight[0].numel()) ** 0.5)
    trainer = Trainer(config, method, task.feed(Group(), torch.device("cpu")), Group())
    save_model(folder / "model", trainer, store, {}, "none")
    return folder / "model"


def test_the_recipe_names_what_every_part_needs() -> None:
    paper, settings = read_settings(RECIPES / "figures_osokin.toml")
    assert paper is OSOKIN
    assert all(getattr(settings, need) for part in OSOKIN.PARTS for need in part.needs)


def test_nothing_named_is_everything_left_out(tmp_path: Path) -> None:
    told = write_set(tmp_path / "out", OSOKIN.HEADING, OSOKIN.PARTS, asked(tmp_path))
    assert not told["figures"]
    assert len(told["left_out"]) == len(OSOKIN.PARTS)


def test_a_star_shows_all_proteins_on_the_same_red(store: PatchStore, star: Path, tmp_path: Path) -> None:
    found = only(samples(asked(tmp_path, models={"star": str(star)}, real=str(store.path))))
    of = {(row["cells"], row["protein"]): row for row in found.numbers}
    assert set(of) == {(cells, protein) for cells in ("real", "star") for protein in PROTEINS}
    assert len({of["star", protein]["red_mean"] for protein in PROTEINS}) == 1
    assert len({of["star", protein]["green_mean"] for protein in PROTEINS}) == 3
    held_out = [row for row in range(24, 36) if row % 3 == 0][:SHOWN]
    light = store.read(np.asarray(held_out)).astype(float) / 255
    assert of["real", "Alp14"]["green_mean"] == pytest.approx(light[:, 1].mean(), abs=1e-6)


def test_a_model_of_other_classes_is_left_out(store: PatchStore, star: Path, tmp_path: Path) -> None:
    settings = asked(tmp_path, models={"star": str(star)}, real=str(store.path), column="field")
    left, found = list(samples(settings))
    assert isinstance(left, LeftOut)
    assert isinstance(found, Drawn)
    assert {row["cells"] for row in found.numbers} == {"real"}


def run(folder: Path, lines: list[dict[str, float]]) -> None:
    folder.mkdir(parents=True)
    told = [{"images_seen": 100 * number, "metrics": metrics} for number, metrics in enumerate(lines)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in told))


def test_curves_have_the_floors_of_their_run_and_leave_out_what_was_not_measured(tmp_path: Path) -> None:
    floors = {"two_sample_floor": -2.0, "two_sample_floor_auc": 0.45, "kid_floor": 0.1}
    run(tmp_path / "runs" / "both", [floors | {"two_sample": 0.0, "kid": 9.0}, {"two_sample": -0.5, "kid": 2.0}])
    run(tmp_path / "runs" / "kid", [{"kid": 8.0}, {"loss/real": 1.0}, {"kid": 3.0}])
    found = only(along(asked(tmp_path, runs={"both": "both", "kid": "kid"})))
    assert [(row["run"], row["images_seen"]) for row in found.numbers] == [
        ("both", 0), ("both", 100), ("kid", 0), ("kid", 200),
    ]  # fmt: skip
    assert found.numbers[1]["two_sample_auc_floor"] == 0.45
    assert len(found.figure.axes) == 2  # nobody measured the AUC
    score = found.figure.axes[0]
    assert list(score.lines[0].get_ydata()) == [-0.5]  # the untrained network is in the table alone
    assert all(axis.get_xlabel() and "[" in axis.get_ylabel() for axis in found.figure.axes)


def test_a_run_that_was_not_evaluated_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "runs" / "one", [{"loss/real": 1.0}])
    with pytest.raises(DataError, match="neither a two-sample test nor KID"):
        list(along(asked(tmp_path, runs={"one": "one"})))


def test_greens_are_compared_as_the_command_does(store: PatchStore, star: Path, tmp_path: Path) -> None:
    keys = {"held": {"star": str(star)}, "real": str(store.path), "protein": "Cki2"}
    found = only(greens(asked(tmp_path, **keys)))
    own = [row for row in found.numbers if row["cells"] == "star"]
    assert own == [{"cells": "star"} | row for row in diversity(held(load_model(star), REDS, DRAWS, 0))]
    assert sum(row["cells"] == "real look-alikes" for row in found.numbers) == 3
    assert "Cki2" in found.figure.axes[0].get_title()
    with pytest.raises(RecipeError, match="no model makes 'Tea1'"):
        list(greens(asked(tmp_path, **(keys | {"protein": "Tea1"}))))


def score(folder: Path, rows: list[dict[str, Any]], name: str = "two_sample") -> str:
    rest = {"critic": "wgan_gp", "channels": "all", "mad": 0.25, "mean": 1.0, "sd": 0.5, "auc": 0.7}
    facts = {"score": name, "scores": [rest | row for row in rows], "settings": {"splits": 3, "repeats": 1, "steps": 9}}
    folder.mkdir()
    (folder / "score.json").write_text(json.dumps(facts))
    return str(folder)


def test_training_images_stand_once_beside_all_models(tmp_path: Path) -> None:
    def rows(median: float) -> list[dict[str, Any]]:
        made = [{"of": "made", "class": one, "median": median + at} for at, one in enumerate(PROTEINS)]
        return made + [{"of": "training images", "class": one, "median": -0.5} for one in PROTEINS]

    scores = {"star": score(tmp_path / "star", rows(1.0)), "multi": score(tmp_path / "multi", rows(4.0))}
    found = only(of_models(asked(tmp_path, scores=scores)))
    assert [row["model"] for row in found.numbers] == ["training images"] * 3 + ["star"] * 3 + ["multi"] * 3
    table = np.asarray(found.figure.axes[0].images[0].get_array())
    assert table.tolist() == [[-0.5, 1, 4], [-0.5, 2, 5], [-0.5, 3, 6]]
    assert found.figure.axes[0].texts[1].get_text() == "1.0\n± 0.2"


def test_classes_against_each_other_keep_which_is_held_out(tmp_path: Path) -> None:
    rows = [
        {"class": row, "of": column, "median": 3.0 * down + beside}
        for down, row in enumerate(PROTEINS)
        for beside, column in enumerate(PROTEINS)
    ]
    found = only(of_classes(asked(tmp_path, classes=score(tmp_path / "classes", rows))))
    axis = found.figure.axes[0]
    assert np.asarray(axis.images[0].get_array()).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert (axis.get_ylabel(), axis.get_xlabel()) == ("held-out cells", "training cells")


def test_another_score_is_refused_and_so_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no two_sample"):
        list(of_classes(asked(tmp_path, classes=score(tmp_path / "other", [], "moa"))))
    with pytest.raises(MissingError, match=r"no score\.json"):
        list(of_models(asked(tmp_path, scores={"star": str(tmp_path / "none")})))


@pytest.fixture(scope="module")
def rebuilt(store: PatchStore, star: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rebuilt") / "codes"
    reconstruct(load_model(star), store, folder, Search(starts=1, evaluations=3, encoder=0))
    return folder


def test_reconstructions_are_those_of_the_folder_with_their_errors(
    store: PatchStore, rebuilt: Path, tmp_path: Path
) -> None:
    keys = {"real": str(store.path), "reconstructions": {"star": str(rebuilt), "again": str(rebuilt)}}
    pictures, errors = reconstructions(asked(tmp_path, **keys))
    assert isinstance(pictures, Drawn)
    assert isinstance(errors, Drawn)
    lines = {int(line["rows"]): line for line in read_table(rebuilt / "errors.csv", ("rows",))}
    for row in pictures.numbers:
        if row["cells"] == "nearest":
            assert row["error"] == float(lines[row["row"]]["nearest"])
        elif row["cells"] != "image":
            assert row["error"] == float(lines[row["row"]]["reconstruction"])
    of_alp14 = sorted(float(line["reconstruction"]) for row, line in lines.items() if row % 3 == 0)
    (median,) = {
        row["error"]
        for row in pictures.numbers
        if (row["like"], row["protein"], row["cells"]) == ("as well as the median", "Alp14", "star")
    }
    assert median == of_alp14[(len(of_alp14) - 1) // 2]
    whole = next(row for row in errors.numbers if row["protein"] == "all")
    values = [float(line["reconstruction"]) for line in lines.values()]
    assert whole["reconstruction"] == pytest.approx(np.median(values))
    assert whole["reconstruction MAD"] == pytest.approx(np.median(np.abs(values - np.median(values))))
    better = [float(line["reconstruction"]) < float(line["nearest"]) for line in lines.values()]
    assert whole["better than nearest"] == pytest.approx(np.mean(better))


def test_reconstructions_of_another_store_are_refused(rebuilt: Path, tmp_path: Path) -> None:
    other = write_store(tmp_path / "other.zarr", 1)
    with pytest.raises(DataError, match=r"Set figures\.real"):
        list(reconstructions(asked(tmp_path, real=str(other.path), reconstructions={"star": str(rebuilt)})))


def test_a_film_has_a_line_for_each_protein_and_its_size(star: Path, tmp_path: Path) -> None:
    model = load_model(star)
    walks = by_size(model, drawn(model, 2, 0, {}, cells=True))
    interpolate(model, walks, tmp_path / "film", steps=5, red_only=True, cells=True)
    found = only(films(asked(tmp_path, films={"star": str(tmp_path / "film")})))
    assert len(found.numbers) == 10
    frames, sizes, lights = found.figure.axes
    assert [label.get_text() for label in frames.get_yticklabels()] == ["red", *PROTEINS]
    first = [row for row in found.numbers if row["walk"] == found.numbers[0]["walk"]]
    assert sizes.lines[0].get_ydata() == pytest.approx([0.02 * row["size"] for row in first])  # pixels of 0.1 x 0.2 µm
    assert "µm²" in sizes.get_ylabel()
    assert lights.lines[2].get_ydata() == pytest.approx([row["Cki2"] for row in first])


def test_a_film_of_images_is_refused(star: Path, tmp_path: Path) -> None:
    model = load_model(star)
    interpolate(model, drawn(model, 1, 0, {"protein": "Arp3"}), tmp_path / "film", steps=5)
    with pytest.raises(DataError, match="--cells"):
        list(films(asked(tmp_path, films={"star": str(tmp_path / "film")})))


def test_joint_scores_keep_their_baselines_once(tmp_path: Path) -> None:
    for number, name in enumerate(("shared", "own")):
        (tmp_path / name).mkdir()
        row = {"made": 0.3 + number, "planted again": 0.03, "nearest in red": 0.2, "of different cells": 0.4}
        stage = {"planted": 0.9, "made": 0.5 + 0.1 * number, "nearest in red": 0.7, "films": float("nan")}
        facts = {"score": "joint_greens", "cells": 40, TOGETHER: [{"measure": "spread"} | row]}
        facts[STAGE] = [{"protein": protein} | stage for protein in PROTEINS]
        (tmp_path / name / "score.json").write_text(json.dumps(facts))
    found = only(joint(asked(tmp_path, joint={"shared": str(tmp_path / "shared"), "own": str(tmp_path / "own")})))
    together = {row["cells"]: row["value"] for row in found.numbers if row["measure"] == "spread"}
    assert together == {
        "planted again": 0.03, "nearest in red": 0.2, "of different cells": 0.4, "shared": 0.3, "own": 1.3,
    }  # fmt: skip
    stage = {row["cells"]: row["value"] for row in found.numbers if row["measure"] == "Arp3"}
    assert stage["own, drawn"] == 0.6
    assert np.isnan(stage["own, films"])
