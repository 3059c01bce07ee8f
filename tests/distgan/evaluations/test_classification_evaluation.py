"""A classifier is judged on what it has not learnt from, beside those who have not looked at the images."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from distgan.assessment.predictions import evaluated_at, read_predictions
from distgan.config.run_config import AnyRun, config_from_tables
from distgan.data.batches import Feed, Known
from distgan.evaluation import Sets
from distgan.evaluations.classification import ClassificationEvaluation
from distgan.families.classifier import Classifier, ClassifierConfig
from distgan.method import Sample
from distgan.model import load_model
from distgan.monitoring.tracking import read_lines
from storage.errors import RecipeError

CPU = torch.device("cpu")
CLASSES = ("dark", "light")


class Brightness(Classifier):
    """Knows that light images are light."""

    networks = ("classifier",)

    def __init__(self, sign: float = 1.0, classes: tuple[str, ...] = CLASSES) -> None:
        config = ClassifierConfig(name="brightness", column="shade", positive="light")
        super().__init__(config, Sample((1, 8, 8), classes={"shade": classes}))
        self.classifier, self.sign = nn.Identity(), sign

    def turns(self) -> tuple[Any, ...]:
        return ()

    def scores(self, images: Tensor) -> Tensor:
        mean = self.sign * images.flatten(1).mean(1)
        return torch.stack([-4 * mean, 4 * mean, *[mean - 9] * (len(self.classes) - 2)], dim=1)

    def crop_scores(self, crops: Tensor) -> Tensor:
        return self.scores(crops)


def feed(count: int, seed: int, classes: int = 2) -> Feed:
    """Light images were taken later, by eight people."""
    random = np.random.default_rng(seed)
    truth = np.arange(count) % classes
    noise = random.normal(0, 30, (count, 1, 8, 8)) + random.normal(0, 60, (count, 1, 1, 1))
    images = (127 + 50 * (2 * (truth == 1) - 1)[:, None, None, None] + noise).clip(0, 255).astype(np.uint8)
    obs = pa.table(
        {
            "shade": [(*CLASSES, "grey")[one] for one in truth],
            "time": truth * 3.0 + random.normal(0, 1, count),
            "person": [f"p{number}" for number in random.integers(0, 8, count)],
            "pixels": truth * 10 + random.integers(0, 9, count),
        }
    )
    store: Any = SimpleNamespace(read=lambda rows: images[rows - 100], value_range=(0.0, 255.0), obs=padded(obs))
    return Feed(store, np.arange(100, 100 + count), 0, CPU, known=Known({"shade": torch.from_numpy(truth)}))


def padded(obs: pa.Table) -> pa.Table:
    """With a hundred rows before, so that rows of the store are not rows of the feed."""
    return pa.concat_tables([obs.take(np.zeros(100, np.int64)), obs])


def made(folder: Path, held_out: Feed | None, validation: Feed | None = None, group: str = "person") -> Any:
    sample = Sample((1, 8, 8), classes={"shade": CLASSES})
    return ClassificationEvaluation(Sets(feed(120, 0), held_out, validation, sample, 100, 0, folder, group))


def test_both_sets_are_measured_and_the_held_out_one_with_intervals(tmp_path: Path) -> None:
    found = made(tmp_path, feed(80, 1), feed(60, 2)).measure(Brightness())
    for name in ("auc", "average_precision", "accuracy", "balanced_accuracy", "light/f1", "dark/recall"):
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"], name
        assert f"validation/{name}" in found
        assert f"validation/{name}_low" not in found
    assert 0.7 < found["auc"] < 1
    assert found["auc"] != found["validation/auc"]
    inverted = made(tmp_path, feed(80, 1)).measure(Brightness(-1))
    assert inverted["auc"] == pytest.approx(1 - found["auc"])


def test_those_who_have_not_looked_stand_beside_it(tmp_path: Path) -> None:
    found = made(tmp_path, feed(80, 1)).before(Brightness())
    assert found["majority/auc"] == 0.5
    assert found["majority/accuracy"] == 0.5
    assert found["metadata/auc"] > 0.95  # time says it
    assert found["intensity/auc"] == pytest.approx(found["auc"], abs=0.02)
    assert found["auc"] == made(tmp_path, feed(80, 1)).measure(Brightness())["auc"]


def test_metadata_do_not_contain_the_truth_the_groups_or_hashes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        made(tmp_path, feed(80, 1)).before(Brightness())
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["time"]


def test_the_set_that_chooses_is_the_one_for_it(tmp_path: Path) -> None:
    assert made(tmp_path, feed(80, 1)).headline == "auc"
    assert made(tmp_path, feed(80, 1), feed(60, 2)).headline == "validation/auc"
    assert made(tmp_path, None, feed(60, 2)).headline == "validation/auc"
    with pytest.raises(RecipeError, match="nothing is held out"):
        made(tmp_path, None)
    assert {"cross_entropy", "brier", "calibration_error"} == set(ClassificationEvaluation.lower)


def test_one_group_has_no_interval_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    held_out = feed(80, 1)
    held_out.store.obs = held_out.store.obs.append_column("date", pa.array(["d"] * 180))
    found = made(tmp_path, held_out, group="date").measure(Brightness())
    assert "auc" in found
    assert not [name for name in found if name.endswith("_low")]
    assert "evaluate.groups" in caplog.text
    assert "auc_low" in made(tmp_path, held_out, group="").measure(Brightness())


def test_predictions_are_kept_with_row_group_and_truth(tmp_path: Path) -> None:
    held_out, method = feed(80, 1), Brightness()
    one = made(tmp_path, held_out)
    one.keep(0)
    assert evaluated_at(tmp_path) == ()  # nothing is measured yet
    one.measure(method)
    one.keep(64)
    found = read_predictions(tmp_path, 64)
    assert found.rows.tolist() == list(range(100, 180))
    assert found.classes == CLASSES
    assert found.groups.tolist() == held_out.obs.column("person").to_pylist()
    assert [CLASSES[number] for number in found.truth] == held_out.obs.column("shade").to_pylist()
    wanted = method.scores(held_out.rows(np.arange(80)).images).double().softmax(1)
    assert np.allclose(found.probabilities, wanted.numpy(), atol=1e-6)


def test_more_than_two_classes_have_one_figure_and_one_named_class(tmp_path: Path) -> None:
    one, method = made(tmp_path, feed(90, 1, classes=3)), Brightness(classes=(*CLASSES, "grey"))
    found = one.measure(method)
    assert [name for name in found if name.endswith("/precision")] == ["light/precision"]
    figure = one.figures(method, 64)["classification"]
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] == "ROC"
    assert [line.get_label().split(",")[0] for line in figure.axes[0].lines[:3]] == [*CLASSES, "grey"]
    assert titles[3] == "confusion [images]"
    assert [text.get_text() for text in figure.axes[3].texts][:2] == [
        f"{int(((found_.argmax(1) == column) & (one.found.truth == 0)).sum())}"
        for column, found_ in ((0, one.found.probabilities), (1, one.found.probabilities))
    ]


def test_a_set_of_one_class_cannot_choose(tmp_path: Path) -> None:
    alone = feed(80, 1)
    alone.known.columns["shade"].zero_()
    assert "accuracy" in made(tmp_path, alone, feed(60, 2)).before(Brightness())
    for sets in ((alone, None), (feed(80, 1), alone)):
        with pytest.raises(RecipeError, match="all of one class"):
            made(tmp_path, *sets).before(Brightness())


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="wgan_gp is no classifier"):
        made(tmp_path, feed(80, 1)).measure(SimpleNamespace(config=SimpleNamespace(name="wgan_gp")))


def recipe(patches: Path) -> AnyRun:
    """Files are no classes of anything, so nothing is there to be learnt."""
    return config_from_tables(
        {
            "run": {"name": "tiny", "images": 64, "batch_size": 8, "virtual_shards": 2, "log_every_images": 16},
            "data": {
                "store": str(patches),
                "split": {"by": "y", "leave_out": 64},
                "validation": {"by": "file", "held_out": 0.25},
                "allow": ["duplicates"],
            },
            "method": {"name": "transfer_classifier", "column": "x", "positive": "0", "width": 4},
            "evaluate": {"every_images": 32},
            "checkpoint": {"every_images": 32},
            "register": {"which": "best"},
        },
        "the test",
    )


def test_a_run_is_judged_along_its_way_and_its_model_tells_classes(
    patches: Path, train: Callable[[AnyRun, Path], None], tmp_path: Path
) -> None:
    train(recipe(patches), tmp_path)
    lines = [line["metrics"] for line in read_lines(tmp_path) if "auc" in line.get("metrics", {})]
    assert len(lines) == 3
    assert "majority/accuracy" in lines[0]
    assert evaluated_at(tmp_path) == (32, 64)
    assert list((tmp_path / "figures").glob("classification-*.png"))
    model = load_model(tmp_path / "model")
    assert model.card["classes"] == {"x": ["0", "32", "64"]}
    assert model.method.scores(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    assert json.loads((tmp_path / "params.json").read_text())["method.positive"] == "0"
