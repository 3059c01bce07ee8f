"""Cells whose red comes first: films of all classes, many greens for one red, and all proteins in one cell."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from distgan.config.run_config import config_from_tables
from distgan.data.batches import from_unit_range
from distgan.inference.hold import diversity, held, look_alikes, write_held
from distgan.inference.interpolate import Walks, by_size, drawn, interpolate
from distgan.inference.invert import Search
from distgan.inference.proteins import put_proteins
from distgan.inference.red import panels, red_first, reds_of
from distgan.inference.told import samples_of
from distgan.method import Batch, Sample, build
from distgan.methods import load_method
from distgan.metrics.red_object import areas, lengths
from distgan.model import Model
from storage.errors import RecipeError
from storage.made import write_patches
from storage.patches import PatchStore
from storage.store import ImageStore, read_box

CLASSES = ("Alp14", "Arp3", "Cki2")
CHANNELS = ("red", "green")
SIZE = (16, 24)
SEPARABLE = ("star_wgan_gp", "separable_gan", "multichannel_wgan_gp")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    """30 cells of three classes; those of the last field are held out."""
    images = np.random.default_rng(0).integers(0, 256, (30, 2, *SIZE), np.uint8)
    obs = pa.table(
        {
            "protein": [CLASSES[row % 3] for row in range(30)],
            "field": [row // 10 for row in range(30)],
            "sha256_pixels": [str(row) for row in range(30)],
        }
    )
    facts = {"channels": list(CHANNELS), "value_range": [0, 255], "pixel_um": [0.1, 0.1], "source": "", "recipe": {}}
    return write_patches(tmp_path_factory.mktemp("cells") / "cells.zarr", images, obs, facts)


def model_of(name: str, store: PatchStore, **keys: Any) -> Model:
    """An untrained model whose images differ, of that store."""
    keys = ({"width": 4} if name == "pix2pix" else {"noise": 4, "width": 4}) | {"critic_width": 4} | keys
    strata = {"strata": "protein"} if name.startswith("star") else {}
    tables = {
        "run": {"name": "tiny", "images": 1000, "batch_size": 12, "virtual_shards": 2},
        "data": {"store": str(store.path), "split": {"by": "field", "leave_out": 2}, **strata},
        "method": {"name": name, **keys},
        "evaluate": {"every_images": 100},
        "checkpoint": {"every_images": 100},
    }
    config = config_from_tables(tables, "the test")
    classes = dict.fromkeys(config.method.columns, CLASSES)
    method = build(load_method(name), config.method, Sample((2, *SIZE), CHANNELS, classes), 0)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in method.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=random) * (3 / weight[0].numel()) ** 0.5)
    card = {"method": name, "image_shape": [2, *SIZE], "channels": list(CHANNELS), "dtype": "uint8"}
    card |= {"value_range": [0, 255], "pixel_um": [0.1, 0.1], "patch_store": store.digest}
    return Model(method.eval().requires_grad_(requires_grad=False), config, card, "")


@pytest.mark.parametrize("name", SEPARABLE)
def test_the_red_tower_alone_makes_the_red_of_a_cell(name: str, store: PatchStore) -> None:
    keys = {"separable": True} if name.startswith("multi") else {}
    method = red_first(model_of(name, store, **keys), "this")
    assert method.prior is not None
    codes = torch.randn(5, method.prior.size)
    cells = method.cells(codes)
    assert cells.shape[1] == len(method.shown)
    torch.testing.assert_close(method.reds(codes), cells[:, :1])
    torch.testing.assert_close(method.reds(codes[:, : method.prior.red]), cells[:, :1])
    assert method.shown == (CHANNELS if name.startswith("separable") else ("red", *CLASSES))


@pytest.mark.parametrize(
    ("name", "keys"),
    [("separable_gan", {"separable": False}), ("star_gan", {"towers": "separable"}), ("pix2pix", {})],
)
def test_who_makes_all_channels_at_once_is_refused(name: str, keys: dict[str, Any], store: PatchStore) -> None:
    with pytest.raises(RecipeError, match=r"has no red codes.*Leave --cells out"):
        red_first(model_of(name, store, **keys), "--cells")


def test_panels_show_each_class_on_the_same_red() -> None:
    cells = torch.arange(4.0).view(1, 4, 1, 1).expand(2, 4, 3, 3)
    found = panels(cells, ("red", *CLASSES), 2)
    assert [name for name, _ in found] == ["red", *CLASSES]
    assert [images[0, :, 0, 0].tolist() for _, images in found] == [[0, -1], [0, 1], [0, 2], [0, 3]]


def test_the_object_in_a_channel_is_measured_with_what_it_encloses() -> None:
    image = np.zeros((2, 20, 30))
    image[0, 4:12, 3:23] = 1
    image[0, 6:10, 5:21] = 0
    image[0, 15:18, 25:28] = 1
    assert areas(image).tolist() == [160, 0]
    assert lengths(image)[0] == pytest.approx(4 * np.sqrt(20**2 / 12), rel=1e-6)


def test_a_film_shows_every_class_of_the_same_cell(store: PatchStore, tmp_path: Path) -> None:
    model = model_of("star_wgan_gp", store)
    with pytest.raises(RecipeError, match="must be told protein"):
        drawn(model, 2, 0, {})
    walks = by_size(model, drawn(model, 2, 0, {}, stops=4, cells=True))
    told = interpolate(model, walks, tmp_path / "film", steps=3, red_only=True, cells=True)
    frames = PatchStore.open(tmp_path / "film/frames.zarr")
    assert frames.channels == ("red", *CLASSES)
    assert frames.shape == (2 * 7, 4, *SIZE)
    method: Any = model.method
    red = method.prior.red
    ends = torch.cat([walks.stops[:, -1, :red], walks.stops[:, 0, red:]], 1)
    wanted = from_unit_range(method.cells(ends), (0, 255), "uint8")
    np.testing.assert_array_equal(frames.read(np.array([6, 13])), wanted)
    sizes = np.asarray(frames.obs.column("size").to_pylist()).reshape(2, 7)
    assert (np.diff(sizes[:, ::2]) >= 0).all(), "stops are in the order of their size"
    assert told["size at last [pixels]"] == pytest.approx(sizes[:, -1].mean())
    with Image.open(tmp_path / "film/film.gif") as film:
        assert film.n_frames == 12  # type: ignore[attr-defined]
        assert film.width > 3 * 128


def test_stops_are_ordered_by_size_of_any_model(store: PatchStore) -> None:
    model = model_of("separable_gan", store, separable=False)
    walks = drawn(model, 3, 0, {}, stops=5)
    found = by_size(model, walks)
    method: Any = model.method
    for before, after in zip(walks.stops, found.stops, strict=True):
        sizes = areas(method.decoded(after, Batch(torch.zeros(5, 2, *SIZE)))[:, 0].numpy())
        assert (np.diff(sizes) >= 0).all()
        assert {tuple(code.tolist()) for code in before} == {tuple(code.tolist()) for code in after}
    assert isinstance(found, Walks)
    assert found.names[0] == "drawn 0, by size"


@pytest.mark.parametrize("name", SEPARABLE)
def test_a_held_red_has_many_greens(name: str, store: PatchStore) -> None:
    keys = {"separable": True} if name.startswith("multi") else {}
    found = held(model_of(name, store, **keys), 3, 4, seed=0)
    cells = found.cells
    assert cells.shape[:2] == (3, 4)
    assert torch.allclose(cells[:, :, 0], cells[:, :1, 0], atol=1e-6)
    assert not torch.allclose(cells[0, 0, 0], cells[1, 0, 0])
    assert len({green.numpy().tobytes() for green in cells[:, :, 1].flatten(0, 1)}) == 12
    for number, row in enumerate(diversity(found), 1):
        light = 0.5 * cells[:, :, number].flatten(0, 1)
        apart = (light[:, None] - light[None]).square().mean((2, 3)).sqrt()
        blocks = apart.view(3, 4, 3, 4)
        same = torch.stack([blocks[red, :, red] for red in range(3)])
        assert row["of one red"] == pytest.approx(same.sum().item() / (3 * 12), abs=1e-4)
        assert row["of two reds"] == pytest.approx((apart.sum() - same.sum()).item() / (12 * 8), abs=1e-4)


def test_pix2pix_is_shown_reds_and_without_dropout_has_one_answer(store: PatchStore, tmp_path: Path) -> None:
    model = model_of("pix2pix", store, dropout=0.0)
    with pytest.raises(RecipeError, match="makes no red channel"):
        held(model, 3, 4, seed=0)
    found = held(model, 3, 4, 0, store)
    rows = np.linspace(20, 29, 3).astype(int).tolist()
    torch.testing.assert_close(found.cells[:, 0, 0], samples_of(model, store, rows).images[:, 0])
    assert diversity(found)[0]["of one red"] == pytest.approx(0, abs=1e-6)
    assert diversity(held(model_of("pix2pix", store), 3, 4, 0, store))[0]["of one red"] > 0.001
    assert write_held(model, found, tmp_path / "held.npy") == (3, 4, 2, *SIZE)
    assert np.load(tmp_path / "held.npy").dtype == np.uint8
    write_held(model, found, tmp_path / "held.png")
    with pytest.raises(RecipeError, match=r"cannot be written as \.tif"):
        write_held(model, found, tmp_path / "held.tif")


def test_real_cells_of_near_reds_are_compared_within_their_class(store: PatchStore) -> None:
    model = model_of("star_wgan_gp", store)
    found = look_alikes(model, store)
    assert [row["channel"].split(",")[0] for row in found] == list(CLASSES)
    rows = [row for row in range(20, 30) if row % 3 == 0]
    images = 0.5 * samples_of(model, store, rows).images
    apart = (images[:, None] - images[None]).square().mean((3, 4)).sqrt()
    red, green = apart[:, :, 0].fill_diagonal_(9), apart[:, :, 1]
    within = green[torch.arange(len(rows)), red.argmin(1)].mean().item()
    assert found[0]["of one red"] == pytest.approx(within, abs=1e-4)


def test_a_red_is_found_by_the_red_tower_alone(store: PatchStore) -> None:
    model = model_of("star_wgan_gp", store)
    method = red_first(model, "this")
    codes = torch.randn(4, method.prior.red if method.prior else 0, generator=torch.Generator().manual_seed(3))
    wanted = method.reds(codes)
    found = reds_of(method, wanted, range(4), Search(starts=6, evaluations=150, encoder=0))
    assert found.errors.max() < 0.02
    torch.testing.assert_close(found.made, method.reds(found.codes))
    alone = reds_of(method, wanted[2:3], [2], Search(starts=6, evaluations=150, encoder=0))
    torch.testing.assert_close(alone.codes[0], found.codes[2])
    coded = reds_of(method, wanted, range(4), Search(starts=0, evaluations=0, encoder=3))
    assert coded.codes.shape == codes.shape
    with pytest.raises(RecipeError, match="nothing to find codes by"):
        reds_of(method, wanted, range(4), Search(starts=0, encoder=0))


def test_every_protein_is_put_into_a_cell(store: PatchStore, tmp_path: Path) -> None:
    model = model_of("star_wgan_gp", store)
    rows, out = [21, 25], tmp_path / "cells"
    search = Search(starts=2, evaluations=10, encoder=0)
    told = put_proteins(model, store, rows, out, search, draws=2, seed=4)
    images = ImageStore.open(out / "cells.ome.zarr")
    assert images.series[0].channels == ("red", *CLASSES)
    assert images.images.column("patch_row").to_pylist() == [21, 21, 25, 25]
    pixels = read_box(images.array(images.series[0]), (slice(0, 4),))[:, :, 0]
    real = store.read(np.array(rows))
    np.testing.assert_array_equal(pixels[:, 0], real[[0, 0, 1, 1], 0])
    assert not np.array_equal(pixels[0, 1:], pixels[1, 1:]), "draws differ"
    with (out / "cells.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["class"] for line in lines] == ["Alp14", "Arp3"]
    for number, line in enumerate(lines):
        own = (pixels[2 * number : 2 * number + 2, 1 + number].astype(float) - real[number, 1]) / 255
        wanted = np.sqrt(np.square(own).mean((1, 2))).mean()
        assert float(line["green"]) == pytest.approx(wanted, abs=2e-3)
    train = [row for row in range(20) if row % 3 == 0]
    apart = np.square(store.read(np.array(train)) / 255.0 - real[0] / 255.0).mean((2, 3)) ** 0.5
    assert float(lines[0]["red of the nearest in training"]) == pytest.approx(apart[:, 0].min(), rel=1e-4)
    assert float(lines[0]["green of the nearest in red"]) == pytest.approx(apart[apart[:, 0].argmin(), 1], rel=1e-4)
    assert json.loads((out / "summary.json").read_text(encoding="utf-8")) == told
    with Image.open(out / "cells.png") as picture:
        assert np.asarray(picture).std() > 0
    with pytest.raises(RecipeError, match="something stands there"):
        put_proteins(model, store, rows, out, search)
