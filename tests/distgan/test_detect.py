"""Detection from end to end: a small classifier moved over small stacks."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tifffile
import torch

from distgan.cli import main
from distgan.config.run_config import config_from_tables
from distgan.data.batches import to_unit_range
from distgan.engine.trainer import Trainer
from distgan.inference import detect as detection
from distgan.inference import heatmaps as maps_of
from distgan.inference.detect import detect
from distgan.inference.detector import Detector
from distgan.inference.windows import starts
from distgan.method import Sample, build
from distgan.methods import load_method
from distgan.model import Model, load_model, save_model
from storage.cuts import Cut
from storage.errors import DataError, InternalError, RecipeError
from storage.ingest import ingest
from storage.layout import from_pattern
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare
from storage.store import ImageStore

SHAPE = (2, 46, 61)
"""Z Y X: with a stride of 4 neither edge is a whole number of steps."""
PATTERN = "{date}_{embryo}.tif"
Keys = dict[str, Any]


def write_model(folder: Path, store: PatchStore, method: Keys, classes: tuple[str, ...] = ("no", "yes")) -> Model:
    """An untrained classifier of "yes" and "no", as a run would leave it; its scores are made to differ."""
    tables = {
        "run": {"name": "test", "images": 64, "batch_size": 8},
        "data": {"store": "x"},
        "method": method,
        "evaluate": {"metrics": ["kid"], "every_images": 64},
        "checkpoint": {"every_images": 64},
    }
    config = config_from_tables(tables, "test")
    sample = Sample((1, 32, 32), store.channels, {"label": classes})
    built = build(load_method(config.method.name), config.method, sample, 0)
    if method["name"] == "transfer_classifier":
        with torch.no_grad():
            built.get_submodule("classifier").score.weight.mul_(20)
    trainer = SimpleNamespace(method=built, average=built, config=config, images_seen=0, feed=SimpleNamespace(made=""))
    save_model(folder, cast(Trainer, trainer), store, {}, "")
    return load_model(folder)


def classifier(norm: str = "batch") -> Keys:
    return {"name": "transfer_classifier", "preset": "small", "positive": "yes", "norm": norm, "width": 4}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image store of three stacks."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    (folder / "raw").mkdir()
    for name in ("1_a", "1_b", "2_c"):
        tifffile.imwrite(
            folder / "raw" / f"{name}.tif",
            random.integers(0, 256, SHAPE).astype(np.uint8),
            photometric="minisblack",
            metadata={"axes": "ZYX"},
        )
    ingest(folder / "raw", folder / "store", from_pattern(PATTERN))
    return folder / "store"


@pytest.fixture(scope="module")
def whole(images: Path) -> PatchStore:
    """The same images as a patch store."""
    return prepare(images, images.with_name("whole"), Preparation(Cut("whole", ())))


@pytest.fixture(scope="module")
def model(whole: PatchStore, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return write_model(tmp_path_factory.mktemp("model") / "model", whole, classifier())


def run(model: Model, store: Path, out: Path, **keys: Any) -> Keys:
    return detect(model, store, out, **{"threshold": 0.0} | keys)


def boxes(out: Path) -> list[dict[str, str]]:
    with (out / "boxes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def probability(model: Model, crop: np.ndarray) -> float:
    """Of "yes", of one crop Y X as stored."""
    scores = cast(Any, model.method).crop_scores(to_unit_range(crop[None, None], model.value_range))
    return float(scores.softmax(1)[0, 1])


@pytest.mark.parametrize("way", ["exact", "crops"])
def test_the_heat_map_has_the_probability_of_every_window(model: Model, images: Path, tmp_path: Path, way: Any) -> None:
    figures = run(model, images, tmp_path, way=way)
    maps, store = ImageStore.open(tmp_path / "heatmaps.ome.zarr"), ImageStore.open(images)
    assert figures["windows"] == 3 * 2 * 5 * 9
    assert [one.shape for one in maps.series] == [one.shape for one in store.series]
    heat, raw = maps.array(maps.series[0])[:], store.array(store.series[0])[:]
    y, x = starts(46, 32, 4), starts(61, 32, 4)
    assert (y[-1], x[-1]) == (14, 29)
    for t, z, a, b in ((0, 0, 0, 0), (1, 1, 2, 3), (2, 0, 4, 8), (2, 1, 0, 8)):
        crop = raw[t, 0, z, y[a] : y[a] + 32, x[b] : x[b] + 32]
        assert heat[t, 0, z, y[a] + 16, x[b] + 16] == pytest.approx(probability(model, crop), abs=1e-5)
    assert (heat[:, :, :, :17, :17] == heat[:, :, :, :1, :1]).all()
    assert (heat[:, :, :, -16:, -16:] == heat[:, :, :, -1:, -1:]).all()
    assert 20 < len(np.unique(heat[0, 0, 0])) <= 5 * 9


def test_heat_maps_have_the_images_of_the_store(model: Model, images: Path, tmp_path: Path) -> None:
    run(model, images, tmp_path)
    maps, store = ImageStore.open(tmp_path / "heatmaps.ome.zarr"), ImageStore.open(images)
    for name in ("file", "series", "first_frame", "frames", "date", "embryo"):
        assert maps.images[name].to_pylist() == store.images[name].to_pylist()
    heat = maps.array(maps.series[0])[:]
    assert maps.files["min"].to_pylist() == pytest.approx(heat.min((1, 2, 3, 4)).tolist())
    assert maps.files["max"].to_pylist() == pytest.approx(heat.max((1, 2, 3, 4)).tolist())


def test_some_images_alone(model: Model, images: Path, tmp_path: Path) -> None:
    run(model, images, tmp_path / "all")
    figures = run(model, images, tmp_path / "some", subset={"embryo": ["a", "c"]})
    assert figures["images"] == 2
    every, some = (ImageStore.open(tmp_path / name / "heatmaps.ome.zarr") for name in ("all", "some"))
    assert np.array_equal(some.array(some.series[0])[:], every.array(every.series[0])[:][[0, 2]])
    assert {row["file"] for row in boxes(tmp_path / "some")} == {"1_a.tif", "2_c.tif"}
    with pytest.raises(RecipeError, match="embryo is one of a, b, c"):
        run(model, images, tmp_path / "none", subset={"embryo": ["z"]})


def test_a_patch_store_of_whole_images_gives_the_same(
    model: Model, images: Path, whole: PatchStore, tmp_path: Path
) -> None:
    run(model, images, tmp_path / "images")
    run(model, whole.path, tmp_path / "patches")

    def placed(out: Path) -> list[list[str]]:
        return sorted([row[name] for name in ("file", "frame", "z", "y", "x")] for row in boxes(out))

    assert placed(tmp_path / "patches") == placed(tmp_path / "images")


def test_what_a_killed_call_has_done_is_not_done_again(
    model: Model, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps_of, "_layout", lambda series: ((1, 1, *series.shape[2:]),) * 2)
    done: list[int] = []

    def shards(act: Callable[[], None] = lambda: None) -> Callable[..., Any]:
        write = maps_of.write_shard

        def counted(*keys: Any) -> str:
            done.append(1)
            if len(done) == 2:
                act()
            return write(*keys)

        return counted

    def killed() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(maps_of, "write_shard", shards(killed))
        with pytest.raises(KeyboardInterrupt):
            run(model, images, tmp_path / "killed")
    assert not (tmp_path / "killed" / "heatmaps.ome.zarr").exists()
    with monkeypatch.context() as patch:
        patch.setattr(maps_of, "write_shard", shards())
        run(model, images, tmp_path / "killed")
    assert len(done) == 2 + 2  # the first was there
    run(model, images, tmp_path / "whole")
    assert (tmp_path / "killed" / "boxes.csv").read_bytes() == (tmp_path / "whole" / "boxes.csv").read_bytes()


def test_heat_maps_that_stand_there_are_used_if_they_are_the_same(
    model: Model, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(model, images, tmp_path)
    many = sorted(float(row["probability"]) for row in boxes(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(maps_of, "write_shard", None)
        run(model, images, tmp_path, threshold=many[len(many) // 2])
    assert 0 < len(boxes(tmp_path)) < len(many)
    with pytest.raises(RecipeError, match=r"other heat maps.*stride"):
        run(model, images, tmp_path, stride=8)


def test_prepare_cuts_the_hits_out(model: Model, images: Path, tmp_path: Path) -> None:
    run(model, images, tmp_path)
    found = prepare(images, tmp_path / "hits", Preparation(Cut("boxes", (32, 32), boxes=str(tmp_path / "boxes.csv"))))
    assert found.shape[0] == len(boxes(tmp_path)) > 10
    pixels = found.read_rows(0, found.shape[0])
    for row, told, band, name in zip(
        range(found.shape[0]),
        *(found.obs[name].to_pylist() for name in ("probability", "band", "detected")),
        strict=True,
    ):
        assert probability(model, pixels[row, 0]) == pytest.approx(float(told), abs=1e-5)
        assert band == ("above 0.9" if float(told) >= 0.9 else "0.8-0.9" if float(told) >= 0.8 else "")
        assert name == "yes"


def test_boxes_for_viewers(model: Model, images: Path, tmp_path: Path) -> None:
    run(model, images, tmp_path)
    features = json.loads((tmp_path / "boxes.geojson").read_text())["features"]
    for row, feature in zip(boxes(tmp_path), features, strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1] == [int(row["x"]), int(row["y"])]
        assert ring[2] == [int(row["x"]) + 32, int(row["y"]) + 32]
        assert feature["properties"]["file"] == row["file"]
        assert feature["properties"]["classification"] == {"name": "yes"}
    assert (tmp_path / "overlays.png").read_bytes().startswith(b"\x89PNG")


def test_hits_are_judged_by_known_boxes(model: Model, images: Path, tmp_path: Path) -> None:
    run(model, images, tmp_path)
    every = boxes(tmp_path)
    figures = run(model, images, tmp_path, truth=tmp_path / "boxes.csv")
    assert figures["known"] == len(every)
    assert figures["planes"] == 6
    assert figures["overlap"]["0.5"]["average_precision"] == 1
    assert figures["overlap"]["0.5"]["at_threshold"] == {"precision": 1, "recall": 1}
    lines = (tmp_path / "boxes.csv").read_text().splitlines()
    (tmp_path / "half.csv").write_text("\n".join(lines[:1] + lines[1::2]))
    assert run(model, images, tmp_path, truth=tmp_path / "half.csv")["overlap"]["0.5"]["average_precision"] < 0.9
    (tmp_path / "other.csv").write_text("file,x,y,width,height\nelsewhere.tif,0,0,32,32\n")
    with pytest.raises(RecipeError, match=r"no box in these images.*elsewhere\.tif"):
        run(model, images, tmp_path, truth=tmp_path / "other.csv")


def test_a_network_that_normalises_samples_is_cut_out_or_computed_fast(
    whole: PatchStore, images: Path, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", whole, classifier("layer"))
    assert run(model, images, tmp_path / "exact")["way"] == "crops"
    figures = run(model, images, tmp_path / "fast", way="fast")
    assert figures["way"] == "fast"
    assert figures["difference"]["largest"] > 1e-3
    assert figures["difference"]["windows"] == 3 * 5 * 9


def test_ways_that_should_agree_and_do_not_are_told(
    model: Model, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Detector.probabilities

    def wrong(self: Detector, planes: np.ndarray, way: Any = None) -> np.ndarray:
        return plain(self, planes, way) * (1 if way else 0.9)

    monkeypatch.setattr(detection.Detector, "probabilities", wrong)
    with pytest.raises(InternalError, match="differ by up to"):
        run(model, images, tmp_path)


def test_another_class_may_be_looked_for(model: Model, images: Path, tmp_path: Path) -> None:
    run(model, images, tmp_path / "yes")
    run(model, images, tmp_path / "no", wanted="no")
    yes, no = (ImageStore.open(tmp_path / name / "heatmaps.ome.zarr") for name in ("yes", "no"))
    assert np.allclose(yes.array(yes.series[0])[:] + no.array(no.series[0])[:], 1, atol=1e-5)
    with pytest.raises(RecipeError, match="'perhaps'; its classes are no, yes"):
        run(model, images, tmp_path / "perhaps", wanted="perhaps")


def test_images_that_the_model_does_not_know_are_refused(model: Model, tmp_path: Path) -> None:
    for name, image, told in (
        ("deep", np.zeros((40, 40), np.uint16), "uint16.*instead of uint8"),
        ("small", np.zeros((40, 30), np.uint8), "40 x 30 pixels, and a window is 32 x 32"),
    ):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "1_a.tif", image)
        ingest(tmp_path / name, tmp_path / f"{name}.zarr", from_pattern(PATTERN))
        with pytest.raises(DataError, match=told):
            run(model, tmp_path / f"{name}.zarr", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_generator_finds_nothing(whole: PatchStore, images: Path, tmp_path: Path) -> None:
    gan = write_model(tmp_path / "gan", whole, {"name": "wgan_gp", "width": 4, "critic_width": 4})
    with pytest.raises(RecipeError, match=r"finds nothing.*wgan_gp"):
        run(gan, images, tmp_path / "out")


def test_the_verb(model: Model, whole: PatchStore, images: Path, tmp_path: Path, capsys: Any) -> None:
    write_model(tmp_path / "model", whole, classifier())
    command = ["detect", str(tmp_path / "model"), str(images), "--out", str(tmp_path / "out"), "--stride", "8"]
    assert main([*command, "--threshold", "0.5", "--subset", "date=1", "--way", "fast", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["stride"], told["way"]) == (2, 8, "fast")
    assert told["hits"]["0.5"] == len(boxes(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "figures.json").read_text()).items() <= told.items()
    assert main([*command, "--threshold", "1.5"]) == 2
