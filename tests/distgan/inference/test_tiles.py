"""Large planes: tiles are pieces of one plane, whatever they are, and their borders cannot be seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distgan.inference import tiles
from distgan.inference.tiles import PlacedStep, Plane, Tile
from distgan.method import Batch
from distgan.metrics.seams import Seams, seams
from distgan.model import Model
from storage.errors import RecipeError

Tissues = Callable[..., Model]
ROUNDING = 2e-5
METHODS = ["label_gan", "joint_gan", "unsupervised_gan", "sgan", "dsgan"]


def joined(found: list[Tile], height: int, width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    labels = np.full((found[0].labels.shape[0], height, width), np.nan, np.float32)
    images = labels if found[0].images is None else np.full((1, height, width), np.nan, np.float32)
    for tile in found:
        labels[:, tile.rows, tile.columns] = tile.labels
        if tile.images is not None:
            images[:, tile.rows, tile.columns] = tile.images
    return images, labels


def plane_of(
    model: Model, monkeypatch: pytest.MonkeyPatch, tile: int, size: tuple[int, int] = (96, 160), **keys: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    monkeypatch.setattr(tiles, "TILE", tile)
    return joined(list(Plane(model, 3, **keys).tiles(*size)), *size)


def waves(rows: slice, columns: slice) -> dict[str, NDArray[Any]]:
    y, x = np.mgrid[rows, columns]
    return {"membranes": np.sin(y / 9) + np.sin(x / 7) > 1, "mitochondria": np.sin(y / 5) * np.sin(x / 6) > 0.7}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_tiles_are_pieces_of_one_plane(
    tissue_of: Tissues, monkeypatch: pytest.MonkeyPatch, name: str, norm: str
) -> None:
    tables = {"sgan": ["label_generator", "translator"], "dsgan": ["label_generator", "translator"]}
    keys = {table: {"norm": norm} for table in tables.get(name, ["generator"])}
    model = tissue_of(name, **keys)
    in_one = plane_of(model, monkeypatch, 512)
    in_many = plane_of(model, monkeypatch, 32)
    for one, many in zip(in_one, in_many, strict=True):
        assert one.std() > 0.05
        assert np.abs(one - many).max() < ROUNDING


def test_a_plane_is_the_same_however_large_and_another_of_another_seed(
    tissue_of: Tissues, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tissue_of("sgan")
    small, large = (plane_of(model, monkeypatch, 64, size)[0] for size in ((40, 70), (130, 90)))
    assert np.abs(small - large[:, :40, :70]).max() < ROUNDING
    other = next(Plane(model, 4).tiles(40, 70)).images
    assert other is not None
    assert np.abs(other.numpy() - small[:, :, :64]).mean() > 0.05


@pytest.mark.parametrize("kind", ["refinement", "unet"])
@pytest.mark.parametrize("name", ["sgan", "label_to_image", "label_completion"])
def test_images_of_given_labels_are_made_in_tiles(
    tissue_of: Tissues, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """Noise and dropout of the layers have a place, too."""
    translator = {"kind": kind, "sigma": 0.1, "dropout": 0.5, "width": 4, "depth": 3, "unet_depth": 3}
    model = tissue_of(name, translator=translator)
    before = model.method.sample
    one, many = (plane_of(model, monkeypatch, size, given=waves, extent=(96, 160)) for size in (512, 32))
    assert one[0].std() > 0.05
    for whole, pieces in zip(one, many, strict=True):
        assert np.abs(whole - pieces).max() < ROUNDING
    assert np.array_equal(one[1][0] > 0, waves(slice(0, 96), slice(0, 160))["membranes"])
    assert model.method.sample == before


def test_the_inside_of_a_plane_is_what_the_network_makes_of_the_whole(tissue_of: Tissues) -> None:
    """Without normalisation tiles differ from the network itself only where it sees the border."""
    model = tissue_of("label_gan", generator={"norm": "none"})
    plane, generator = Plane(model, 0), model.method.network("generator")
    shape = (8, 12, 12)
    with torch.no_grad():
        step = PlacedStep(Batch(torch.zeros(1, 1, 192, 192)), 0)
        whole = generator(step.normal("z preview 0", 1, *shape))[0]
    tile = next(plane.tiles(192, 192)).labels
    margin = plane.margin
    inside = (..., slice(margin, -margin), slice(margin, -margin))
    assert plane.unit == 16
    assert margin == 16
    assert torch.allclose(tile[inside], whole[inside], atol=1e-5)
    assert not torch.allclose(tile, whole, atol=1e-3)


def test_seams_are_not_seen_and_would_be_without_a_margin(tissue_of: Tissues, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tissue_of("label_gan", generator={"norm": "instance"})

    def measured() -> Seams:
        found = plane_of(model, monkeypatch, 64, (512, 512))[1]
        return seams(np.split(found, 8, 1), found.shape, (64, 64), 16)

    own = measured()
    assert abs(own.gradient_z) < 4
    assert abs(own.jump_z) < 4
    monkeypatch.setattr(Plane, "margin", 0)
    assert abs(measured().gradient_z) > 8


def test_tiles_normalised_by_themselves_would_not_fit(tissue_of: Tissues, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tissue_of("label_gan", generator={"norm": "instance"})
    monkeypatch.setattr("distgan.inference.population._replaced", lambda module: [])
    with pytest.raises(RecipeError, match="depends on the whole image"):
        plane_of(model, monkeypatch, 64)
    monkeypatch.setattr(Plane, "margin", 16)
    one, many = (plane_of(model, monkeypatch, size)[1] for size in (512, 32))
    assert np.abs(one - many).mean() > 0.01


def test_noise_has_its_place() -> None:
    def of(corner: tuple[int, int], edge: int, seed: int = 0) -> torch.Tensor:
        return PlacedStep(Batch(torch.zeros(1, 1, edge, edge)), 0, seed=seed, corner=corner).normal(
            "z", 1, 2, edge // 4, edge // 4
        )

    whole = of((-80, -80), 320)
    assert torch.equal(of((0, 0), 64), whole[..., 20:36, 20:36])
    assert torch.equal(of((-40, 12), 128), whole[..., 10:42, 23:55])
    assert not torch.equal(of((-80, -80), 320, seed=1), whole)
    assert abs(whole.mean()) < 0.05
    assert abs(whole.std() - 1) < 0.05


def test_one_size_alone_and_methods_without_labels_are_refused(tissue_of: Tissues, finished: Path) -> None:
    from distgan.model import load_model

    vector = tissue_of("label_gan", generator={"start": "vector"})
    with pytest.raises(RecipeError, match="begins with a vector"):
        list(Plane(vector, 0).tiles(64, 64))
    with pytest.raises(RecipeError, match="makes no label images"):
        Plane(load_model(finished / "model"), 0)
    with pytest.raises(RecipeError, match="makes images of label images"):
        Plane(tissue_of("label_to_image"), 0)
