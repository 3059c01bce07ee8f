"""`distgan figures`: what is written, what is left out, and the numbers in the figures of Wang et al."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tifffile
import torch
from matplotlib.figure import Figure
from PIL import Image

from distgan.cli import main
from distgan.config.run_config import RECIPES, config_from_tables
from distgan.data.batches import choose, sample_of
from distgan.engine.initialisation import initialise
from distgan.engine.trainer import Trainer
from distgan.figures import load_paper, paper_names, read_settings
from distgan.figures.wang import Settings
from distgan.figures.wang.detection import detected
from distgan.figures.wang.networks import compared, responses
from distgan.figures.wang.weights import gearys_c, nearest
from distgan.inference.detect import detect
from distgan.method import Sample, build
from distgan.methods import load_method
from distgan.metrics.tsne import tsne
from distgan.model import Model, load_model, save_model
from distgan.plots.figure_set import Asked, Drawn, LeftOut, Part, write_set
from storage.cuts import Cut
from storage.errors import DataError, MissingError, RecipeError
from storage.ingest import ingest
from storage.layout import from_pattern
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare
from storage.source import open_source

WANG = load_paper("wang")
LABELS = {1.0: 40, 0.2: 8}


# numbers


def test_gearys_c_is_one_without_order_below_it_where_neighbours_are_alike_and_knows_no_scale() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=(4000, 4, 4))
    assert gearys_c(noise).mean() == pytest.approx(1, abs=0.02)
    assert gearys_c(noise)[0] == pytest.approx(gearys_c(7 * noise + 3)[0])
    y, x = np.mgrid[:4, :4].astype(float)
    smooth, checkered = gearys_c(np.stack([y + x, (-1) ** (y + x)]))
    # 15 times 24 differences of 1 over 2 times 24 pairs times a variance of 40; and all differences 2.
    assert smooth == pytest.approx(15 * 24 / (2 * 24 * 40))
    assert checkered == pytest.approx(15 * 24 * 4 / (2 * 24 * 16))


def test_units_that_are_alike_have_a_near_neighbour_and_stand_together() -> None:
    random = np.random.default_rng(0)
    middles = np.repeat(random.normal(size=(3, 40)), 10, axis=0)
    units = middles + 0.1 * random.normal(size=middles.shape)
    assert nearest(units).min() > 0.9
    assert np.median(nearest(random.normal(size=(30, 40)))) < 0.6
    points = tsne(units, metric="cosine")
    assert np.array_equal(points, tsne(units, metric="cosine"))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    same = np.repeat(np.arange(3), 10)
    assert apart[same[:, None] == same[None]].max() < apart[same[:, None] != same[None]].min()


# the set


def drawn(name: str) -> Drawn:
    return Drawn(
        name, f"Title of {name}", "a < b", Figure(), [{"a": 1, "b": 0.123456789}], {"store": "0123456789abcdef"}
    )


def asked(**keys: Any) -> Asked:
    return Asked(SimpleNamespace(**keys), Path, Path("home"))


def test_a_set_is_files_that_name_one_another_and_says_what_is_left_out(tmp_path: Path) -> None:
    parts = (
        Part("One", ("here",), lambda _: iter([drawn("one"), LeftOut("Half", "nobody knows")])),
        Part("Two", ("here", "away"), lambda _: iter([drawn("two")])),
    )
    found = write_set(tmp_path / "set", "Heading", parts, asked(here="x", away=""))
    assert [one["name"] for one in found["figures"]] == ["one"]
    reasons = [("Half", "nobody knows"), ("Two", "figures.away not named")]
    assert [(one["title"], one["reason"]) for one in found["left_out"]] == reasons
    names = {path.name for path in (tmp_path / "set").iterdir()}
    assert names == {"one.png", "one.csv", "figures.json", "README.md", "index.html"}
    assert json.loads((tmp_path / "set" / "figures.json").read_text()) == found
    assert (tmp_path / "set" / "one.csv").read_text() == "a,b\n1,0.123457\n"
    with Image.open(tmp_path / "set" / "one.png") as picture:
        assert picture.info["dpi"] == pytest.approx((150, 150), rel=1e-3)
    for page in ("README.md", "index.html"):
        text = (tmp_path / "set" / page).read_text()
        assert all(word in text for word in ("one.png", "one.csv", "0123456789ab", "Title of one", "nobody knows"))
    assert "a &lt; b" in (tmp_path / "set" / "index.html").read_text()


def test_a_set_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def draw(_: Asked) -> Iterator[Drawn]:
        yield drawn("one")
        raise MissingError("a", "b", "c")

    with pytest.raises(MissingError):
        write_set(tmp_path / "set", "Heading", (Part("One", (), draw),), asked())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("figures_*.toml")), ids=lambda path: path.stem)
def test_every_recipe_names_sources_of_a_paper(recipe: Path) -> None:
    paper, settings = read_settings(recipe)
    assert settings.paper in paper_names()
    assert all(getattr(settings, key) for part in paper.PARTS for key in part.needs)


def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    for text, found in (
        ("[figures]\n", "no figures.paper"),
        ('[figures]\npaper = "nobody"\n', "wang"),
        ('[figures]\npaper = "wang"\ngam = "x"\n', "did you mean figures.gan"),
    ):
        recipe.write_text(text)
        with pytest.raises(RecipeError, match=found):
            read_settings(recipe)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that are drawn and written in a moment."""
    monkeypatch.setattr("distgan.plots.figure_set.DPI", 30)


# sweeps


def write_sweep(folder: Path, *, points: tuple[int, ...] = (0, 100, 200), ended: int = 8) -> None:
    """Two variants, two shares, two repeats; accuracy 0.5 + repeat / 10, and never a precision of scratch with few."""
    members = [
        {
            "variant": variant,
            "share": share,
            "repeat": repeat,
            "fold": "",
            "labels": labels,
            "name": f"{variant}-{share:g}-r{repeat}",
        }
        for repeat in range(2)
        for share, labels in LABELS.items()
        for variant in ("scratch", "transfer")
    ]
    folder.mkdir(parents=True)
    method = {"name": "transfer_classifier", "positive": "a rosette"}
    (folder / "plan.json").write_text(json.dumps({"recipe": {"method": method}, "by": "", "members": members}))
    (folder / "results").mkdir()
    for one in members[:ended]:
        metrics = {"accuracy": 0.5 + one["repeat"] / 10, "a_rosette/recall": 0.25}
        if (one["variant"], one["share"]) != ("scratch", 0.2):
            metrics["a_rosette/precision"] = 0.75
        (folder / "results" / f"{one['name']}.json").write_text(json.dumps({"metrics": metrics, "error": None}))
        (folder / "members" / one["name"]).mkdir(parents=True)
        lines = [{"images_seen": seen, "metrics": {"loss/x": 1.0}} for seen in points]
        lines += [{"images_seen": seen, "metrics": metrics | {"majority/accuracy": 0.7}} for seen in points]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "members" / one["name"] / "metrics.jsonl").write_text(text)


def of_sweep(home: Path, out: Path, **keys: Any) -> dict[str, Any]:
    settings = Settings(paper="wang", **({"sweep": "labels"} | keys))
    return write_set(out, WANG.HEADING, WANG.PARTS, Asked(settings, Path, home))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("coarse")
def test_means_and_spreads_of_a_sweep_are_those_of_its_trainings(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweeps" / "labels")
    found = of_sweep(tmp_path, tmp_path / "out")
    names = ["figure-09", "figure-09-training", "figure-09-stability", "figure-10"]
    assert [one["name"] for one in found["figures"]] == names
    table = rows(tmp_path / "out" / "figure-10.csv")
    assert len(table) == 2 * 2 * 3
    one = {(row["variant"], row["share"], row["metric"]): row for row in table}
    accuracy, precision = one["transfer", "0.2", "accuracy"], one["scratch", "0.2", "precision of a rosette"]
    assert (accuracy["labels"], accuracy["mean"], accuracy["trainings"]) == ("8", "0.55", "2")
    assert float(accuracy["spread"]) == pytest.approx(np.std([0.5, 0.6], ddof=1), rel=1e-5)
    assert (precision["mean"], precision["trainings"]) == ("nan", "0")
    along = rows(tmp_path / "out" / "figure-09-training.csv")
    assert {row["images_seen"] for row in along} == {"0", "100", "200"}
    assert {row["images_seen"] for row in rows(tmp_path / "out" / "figure-09-stability.csv")} == {"100", "200"}
    assert len(rows(tmp_path / "out" / "figure-09.csv")) == 8


@pytest.mark.usefixtures("coarse")
def test_a_sweep_evaluated_at_its_ends_has_no_curves_and_an_unfinished_one_says_so(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweeps" / "labels", points=(0, 200), ended=6)
    found = of_sweep(tmp_path, tmp_path / "out")
    assert [one["name"] for one in found["figures"]] == ["figure-09", "figure-10"]
    assert "2 of 8 trainings have no result" in found["figures"][0]["caption"]
    assert any("evaluate.every_images" in one["reason"] for one in found["left_out"])


def test_sweeps_that_cannot_be_drawn_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="there is no 'labels'"):
        of_sweep(tmp_path, tmp_path / "out")
    (tmp_path / "sweeps" / "labels").mkdir(parents=True)
    with pytest.raises(MissingError, match=r"no plan\.json"):
        of_sweep(tmp_path, tmp_path / "out")
    write_sweep(tmp_path / "sweeps" / "begun", ended=0)
    with pytest.raises(DataError, match="nothing of"):
        of_sweep(tmp_path, tmp_path / "out", sweep=str(tmp_path / "sweeps" / "begun"))
    write_sweep(tmp_path / "sweeps" / "other")
    with pytest.raises(RecipeError, match=r"0\.5; it has 1, 0\.2"):
        of_sweep(tmp_path, tmp_path / "out", sweep="other", shares=(1.0, 0.5))


# models


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image store: eight embryos of two classes, 64 x 64, brighter in the middle where there is a rosette."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "raw").mkdir()
    random = np.random.default_rng(0)
    for embryo in range(8):
        label = ("non", "rosette")[embryo % 2]
        pixels = random.integers(0, 100, (3, 64, 64)) + 100 * (embryo % 2)
        name = folder / "raw" / f"{label}_{embryo}.tif"
        tifffile.imwrite(name, pixels.astype(np.uint8), photometric="minisblack", metadata={"axes": "ZYX"})
    ingest(folder / "raw", folder / "images.zarr", from_pattern("{label}_{embryo}.tif"))
    return folder / "images.zarr"


@pytest.fixture(scope="module")
def sources(images: Path) -> dict[str, Any]:
    """Settings of everything but the sweep."""
    folder = images.parent
    store = PatchStore.open(prepared(images, folder / "patches.zarr"))
    gan = write_model(
        folder / "gan", store, {"name": "wgan_gp", "preset": "small", "noise": 8, "width": 4, "critic_width": 4}
    )
    run = folder / "home" / "runs" / "gan"
    run.mkdir(parents=True)
    lines = [{"images_seen": seen, "metrics": {"loss/distance": -1.0, "loss/penalty": 0.5}} for seen in (8, 16)]
    lines[1]["metrics"] = lines[1]["metrics"] | {"loss/generator": 2.0}  # type: ignore[operator]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    method = {"name": "transfer_classifier", "preset": "small", "positive": "rosette", "width": 4}
    begun = {"classifier": {"model": str(folder / "gan"), "network": "critic", "digest": gan.digest}}
    classifiers = {}
    for way, init in (("scratch", {}), ("transfer", begun)):
        for labels, fraction in (("few", 0.5), ("all", 1.0)):
            name = f"{way}_{labels}"
            write_model(
                folder / name, store, method, fraction=fraction, init=init, moved=0.1 if labels == "all" else 0.05
            )
            classifiers[name] = str(folder / name)
    subset = {"label": ["rosette"]}
    detect(load_model(folder / "scratch_all"), images, folder / "found", stride=16, way="crops", subset=subset)
    return {
        "raw": {"store": str(images), "operations": [{"name": "median", "size_zyx": [1, 3, 3]}]},
        "gan": str(folder / "gan"),
        "gan_run": "gan",
        "pool": str(store.path),
        "labelled": str(store.path),
        "classifiers": classifiers,
        "detector": str(folder / "scratch_all"),
        "detected": str(folder / "found"),
        "images": str(images),
    }


def prepared(images: Path, target: Path) -> Path:
    prepare(images, target, Preparation(Cut("tiled", (32, 32))))
    return target


def write_model(
    folder: Path,
    store: PatchStore,
    method: dict[str, Any],
    *,
    fraction: float = 1.0,
    init: Any = None,
    moved: float = 0.0,
) -> Model:
    """A model as a run would leave it.  moved: how much noise training has put on the weights."""
    tables = {
        "run": {"name": "test", "images": 64, "batch_size": 8},
        "data": {
            "store": str(store.path),
            "split": {"by": "embryo", "held_out": 0.25, "stratify": "label"},
            "fraction": fraction,
            "draw": {"rule": "paper", "by": "embryo", "classes": "label"},
        },
        "method": method,
        "init": init or {},
        "evaluate": {"metrics": ["kid"], "every_images": 64},
        "checkpoint": {"every_images": 64},
    }
    config = config_from_tables(tables, "test")
    sample = sample_of(store, config.data, config.method.columns)
    built = build(
        load_method(config.method.name), config.method, Sample(sample.shape, sample.channels, sample.classes), 0
    )
    initialise(built, config.init)
    with torch.no_grad():
        for number, weight in enumerate(built.parameters()):
            weight += moved * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    trainer = SimpleNamespace(method=built, average=built, config=config, images_seen=64, feed=SimpleNamespace(made=""))
    save_model(folder, cast(Trainer, trainer), store, {}, folder.name)
    return load_model(folder)


@pytest.fixture
def of_wang(sources: dict[str, Any], images: Path) -> Callable[..., Asked]:
    def make(**keys: Any) -> Asked:
        return Asked(Settings(paper="wang", **(sources | keys)), Path, images.parent / "home")

    return make


@pytest.mark.usefixtures("coarse")
def test_the_set_of_a_paper_is_drawn_from_models_stores_and_hits(of_wang: Callable[..., Asked], tmp_path: Path) -> None:
    found = write_set(tmp_path / "out", WANG.HEADING, WANG.PARTS, of_wang())
    names = [one["name"] for one in found["figures"]]
    numbers = ["01", "03", "05", "05-smoothness", "06", "07", "08", "11", "12"]
    assert names == [*(f"figure-{number}" for number in numbers), "interpolation"]
    assert [one["title"].partition(":")[0] for one in found["left_out"]] == ["Figure 9", "Figure 10"]
    losses = rows(tmp_path / "out" / "figure-03.csv")
    assert [row["loss/generator"] for row in losses] == ["nan", "2"]
    assert len(rows(tmp_path / "out" / "figure-08.csv")) == 6 * 4


def test_what_is_drawn_by_chance_is_drawn_alike_twice(of_wang: Callable[..., Asked]) -> None:
    (one,), (again,), (other,) = (WANG.interpolation(of_wang(seed=seed)) for seed in (0, 0, 1))
    assert one.numbers == again.numbers
    assert one.numbers != other.numbers


def test_networks_before_training_are_what_their_trainings_began_with(of_wang: Callable[..., Asked]) -> None:
    asked_for = of_wang()
    found = compared(asked_for)
    scratch, transfer = (row[0].network for row in found.networks)
    gan = asked_for.model(asked_for.settings.gan).method.network("critic")
    same = [torch.equal(one, other) for one, other in zip(transfer.parameters(), gan.parameters(), strict=False)]
    assert all(same[:-2])  # all but the scores
    assert not torch.equal(scratch.convolutions[0].weight, transfer.convolutions[0].weight)
    assert [one.labels for one in found.each] == [0, 36, 72, 0, 36, 72]
    store, config = (
        PatchStore.open(Path(asked_for.settings.labelled)),
        asked_for.model(asked_for.settings.detector).config,
    )
    assert len(found.images) == len(choose(store, config.data).held_out)
    assert 0 < found.positive.sum() < len(found.positive)


def test_responses_are_those_of_the_forward_pass(of_wang: Callable[..., Asked]) -> None:
    found = compared(of_wang())
    network = found.networks[1][2].network
    answers = responses(network, found.images)
    assert list(answers) == ["convolution 1", "convolution 2", "convolution 3", "dense"]
    assert torch.equal(answers["convolution 3"], network.convolutions(found.images))
    assert torch.equal(answers["dense"], network.features(found.images))


def test_models_that_are_not_what_their_key_says_are_refused(
    of_wang: Callable[..., Asked], sources: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    named = sources["classifiers"]
    for classifiers, wrong in (
        (named | {"scratch_few": named["transfer_few"]}, "scratch_few did not begin from scratch"),
        (named | {"transfer_all": named["scratch_all"]}, "transfer_all did not begin with the critic"),
        (named | {"scratch_few": sources["gan"]}, "scratch_few is no transfer_classifier"),
        (named | {"scratch_few": named["scratch_all"]}, "scratch_few has no fewer labels than scratch_all"),
    ):
        with pytest.raises(RecipeError, match=wrong):
            compared(of_wang(classifiers=classifiers))
    prepare(images, tmp_path / "other.zarr", Preparation(Cut("tiled", (32, 32)), seed=1))
    with pytest.raises(RecipeError, match="trained on other samples"):
        compared(of_wang(labelled=str(tmp_path / "other.zarr")))
    with pytest.raises(RecipeError, match="detector is not what"):
        list(WANG.heatmaps(of_wang(detector=named["scratch_few"])))


def test_hits_are_shown_in_the_planes_they_were_found_in(of_wang: Callable[..., Asked]) -> None:
    found = detected(of_wang())
    listing = open_source(found.source.path)[1]
    images = found.maps.images["file"].to_pylist()
    assert len(images) == 4  # of 8
    assert [listing.names[row] for row in dict.fromkeys(found.frames.image.tolist())] == images
    low, high = found.value_range
    for row in range(len(found.hits)):
        image, z, y, x = (int(getattr(found.hits, name)[row]) for name in ("image", "z", "y", "x"))
        series, at = int(found.frames.series[image]), int(found.frames.frame[image])
        (pixels,) = found.source.box(series, (slice(at, at + 1), slice(z, z + 1), slice(0, 64), slice(0, 64)))[:, 0, 0]
        one = found.plane(row, 0.0)
        assert np.allclose(one.image, (pixels - low) / (high - low))
        assert one.heat[y + 16, x + 16] == pytest.approx(found.hits.probability[row])


def test_hits_are_marked_as_known_by_a_truth(of_wang: Callable[..., Asked], tmp_path: Path) -> None:
    found = of_wang()
    (all_of_them,) = WANG.heatmaps(found)
    hit = all_of_them.numbers[0]
    file, _, plane = str(hit["plane"]).split(", ")
    row = f"{file},0,{plane.removeprefix('z ')},{hit['y']},{hit['x']},32,32"
    (tmp_path / "truth.csv").write_text(f"file,frame,z,y,x,height,width\n{row}\n")
    (marked,) = WANG.bands(of_wang(truth=str(tmp_path / "truth.csv")))
    assert sum(bool(one["known"]) for one in marked.numbers) == 1
    assert "1 of them known" in marked.caption


# the command


def test_the_command_draws_what_it_can_and_refuses_what_is_missing(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISTGAN_HOME", str(tmp_path / "home"))
    operations = '[{ name = "median", size_zyx = [1, 3, 3] }]'
    text = f'[figures]\npaper = "wang"\n[figures.raw]\nstore = "{images}"\noperations = {operations}\n'
    (tmp_path / "recipe.toml").write_text(text)
    assert main(["figures", "recipe.toml", "--json"]) == 0
    told = capsys.readouterr()
    assert [one["name"] for one in json.loads(told.out)["figures"]] == ["figure-01"]
    assert "left out: Figure 9: all labels and few: figures.sweep not named" in told.err
    before, after = rows(tmp_path / "figures_wang" / "figure-01.csv")
    assert float(after["between_neighbours"]) < float(before["between_neighbours"])
    assert main(["figures", "recipe.toml"]) == RecipeError.exit_code
    missing = ["figures", "recipe.toml", "--out", "other", "--set", "figures.sweep=none"]
    assert main(missing) == MissingError.exit_code
    assert not (tmp_path / "other").exists()
