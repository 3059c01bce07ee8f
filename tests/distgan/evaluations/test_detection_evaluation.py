"""A classifier is moved over whole images of held-out groups, and over no others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor, nn

from distgan.config.run_config import config_from_tables
from distgan.config.sections import Detection
from distgan.data.batches import Feed
from distgan.evaluation import Sets
from distgan.evaluations.detection import DetectionEvaluation
from distgan.families.classifier import Classifier, ClassifierConfig
from distgan.method import Sample
from storage.cuts import Cut
from storage.errors import RecipeError
from storage.ingest import ingest
from storage.layout import from_pattern
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare

CPU = torch.device("cpu")
PLACES = {"a": (0, 0), "b": (4, 12), "c": (16, 8)}
"""Of the bright square in the images of each embryo."""


class Brightness(Classifier):
    """Says of a window how bright it is."""

    networks = ("classifier",)

    def __init__(self, sign: float = 1.0) -> None:
        config = ClassifierConfig(name="brightness", positive="light")
        super().__init__(config, Sample((1, 32, 32), classes={"label": ("dark", "light")}))
        self.classifier = nn.Linear(1, 1)
        self.sign = sign

    def turns(self) -> tuple[Any, ...]:
        return ()

    def scores(self, images: Tensor) -> Tensor:
        mean = 20 * self.sign * images.flatten(1).mean(1)
        return torch.stack([-mean, mean], dim=1)

    def crop_scores(self, crops: Tensor) -> Tensor:
        return self.scores(crops)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stacks of 2 planes of three embryos, each with a square of 32 pixels, its box, and crops of them."""
    folder = tmp_path_factory.mktemp("stacks")
    (folder / "raw").mkdir()
    rows = ["file,frame,z,y,x,height,width"]
    for embryo, (y, x) in PLACES.items():
        for time in (0, 1):
            stack = np.full((2, 48, 64), 20, np.uint8)
            stack[:, y : y + 32, x : x + 32] = 220
            name = f"{embryo}_{time}.tif"
            tifffile.imwrite(folder / "raw" / name, stack, photometric="minisblack", metadata={"axes": "ZYX"})
            rows += [f"{name},0,{z},{y},{x},32,32" for z in (0, 1)]
    (folder / "truth.csv").write_text("\n".join(rows))
    ingest(folder / "raw", folder / "images", from_pattern("{embryo}_{time}.tif"))
    prepare(folder / "images", folder / "patches", Preparation(Cut("tiled", (32, 32))))
    return folder


def sets(folder: Path, held_out: str = "c", split: str = "embryo", **keys: Any) -> Sets:
    store = PatchStore.open(folder / "patches")
    embryos = np.asarray(store.obs.column("embryo").to_pylist())
    train, others = (Feed(store, np.flatnonzero((embryos == held_out) == one), 0, CPU) for one in (False, True))
    detection = Detection(**({"store": str(folder / "images"), "truth": str(folder / "truth.csv"), "stride": 4} | keys))
    return Sets(train, others, None, Sample((1, 32, 32)), 100, 0, folder, split=split, detection=detection)


def test_what_is_found_is_found_in_held_out_groups_alone(folder: Path) -> None:
    for held_out in PLACES:
        one = DetectionEvaluation(sets(folder, held_out))
        names = [one.listing.names[row] for row in one.frames.image]
        assert names == [f"{held_out}_0.tif", f"{held_out}_1.tif"]
        assert one.measure(Brightness()) == {"detection/average_precision": 1.0, "detection/froc": 1.0}
        assert one.curve is not None
        assert (one.curve.known, one.curve.images) == (4, 4)


def test_a_classifier_that_is_wrong_finds_little(folder: Path) -> None:
    one = DetectionEvaluation(sets(folder))
    assert one.figures(Brightness(), 0) == {}
    found = one.before(Brightness(-1))
    assert found["detection/average_precision"] < 0.2
    assert list(one.figures(Brightness(), 100)) == ["detection"]


def test_no_more_images_than_asked_are_looked_at(folder: Path) -> None:
    assert len(DetectionEvaluation(sets(folder, images=1)).frames.frame) == 1


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"subset": {"embryo": ["a", "b"]}}, "no image of a held-out embryo.*held out are c"),
        ({"split": "time", "held_out": "c", "subset": {"embryo": ["x"]}}, "no sample has embryo"),
        ({"split": "date"}, "no metadata column 'date'"),
    ],
)
def test_images_without_held_out_groups_are_refused(folder: Path, keys: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        DetectionEvaluation(sets(folder, **keys))


def test_without_images_or_without_held_out_ones_nothing_is_judged(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"no \[evaluate\.detection\]"):
        DetectionEvaluation(replace(sets(folder), detection=None))
    with pytest.raises(RecipeError, match="nothing is held out"):
        DetectionEvaluation(replace(sets(folder), held_out=None))


def test_paths_do_not_depend_on_where_a_worker_runs(tables: dict[str, Any]) -> None:
    evaluate = {"every_images": 8, "detection": {"store": "images", "truth": "truth.csv"}}
    config = config_from_tables(tables | {"evaluate": evaluate}, "the test")
    assert config.evaluate.detection is not None
    assert Path(config.evaluate.detection.store) == Path.cwd() / "images"
    assert Path(config.evaluate.detection.truth) == Path.cwd() / "truth.csv"
