"""Three ways to a classifier's windows: cut out one by one, computed together, and without the borders' zeros."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from distgan.inference.windows import crops, exact, fast, normalises_windows, starts
from distgan.method import Normalisation
from distgan.networks.rosette import Critic


def critic(norm: Normalisation, size: int = 32, channels: int = 1) -> Critic:
    """With statistics that are not those of a new one."""
    torch.manual_seed(0)
    network = Critic(channels, size, 4, norm, 0.1, outputs=3, score_norm=True).eval().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.bias.normal_()
    for layer in network.convolutions:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            layer.bias.normal_()
    return network


def images(height: int, width: int, channels: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, channels, height, width)).astype(np.float32))


def one_by_one(network: Critic, values: Tensor, size: int, stride: int) -> Tensor:
    """N K Y X by two loops."""
    height, width = values.shape[2:]
    y, x = ([*range(0, px - size, stride), px - size] for px in (height, width))
    rows = [[network(values[:, :, a : a + size, b : b + size]) for b in x] for a in y]
    return torch.stack([torch.stack(row, 2) for row in rows], 2)


@given(st.integers(8, 60), st.integers(1, 8), st.integers(1, 20))
def test_windows_cover_every_pixel_from_the_first_to_the_last(extent: int, size: int, stride: int) -> None:
    first = starts(extent, size, stride)
    assert (first[0], first[-1]) == (0, extent - size)
    assert (np.diff(first) > 0).all()
    assert (np.diff(first) <= stride).all()
    assert (first[:-1] % stride == 0).all()


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_crops_are_the_windows(norm: Normalisation) -> None:
    network, values = critic(norm), images(45, 38)
    assert torch.allclose(crops(values, 32, 5, network), one_by_one(network, values, 32, 5), atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6, 8, 12, 16])
def test_what_windows_share_changes_no_number(norm: Normalisation, stride: int) -> None:
    network, values = critic(norm, channels=2), images(53, 42, 2)
    assert torch.allclose(exact(network, values, 32, stride), one_by_one(network, values, 32, stride), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(64, 90), st.integers(64, 90), st.sampled_from([4, 7, 8, 20]))
def test_any_image_and_windows_of_another_size(height: int, width: int, stride: int) -> None:
    network, values = critic("batch", 64), images(height, width)
    assert torch.allclose(exact(network, values, 64, stride), one_by_one(network, values, 64, stride), atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("stride", [3, 4, 8])
def test_the_fast_way_has_the_same_windows_and_numbers_near_theirs(norm: Normalisation, stride: int) -> None:
    network, values = critic(norm), images(45, 38)
    wanted, found = crops(values, 32, stride, network), fast(network, values, 32, stride)
    assert found.shape == wanted.shape
    assert not torch.equal(found, wanted)
    assert (found - wanted).abs().mean() < 2 * wanted.std()


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_the_fast_way_moves_with_the_image(stride: int) -> None:
    """In the middle of an image a window's numbers do not depend on where it lies."""
    network, values = critic("batch"), images(80, 80)
    found = fast(network, values, 32, stride)
    moved = fast(network, values[:, :, 8:, 8:], 32, stride)
    steps, edge = 8 // stride, -(-16 // stride)
    assert torch.allclose(
        found[:, :, steps:, steps:][..., edge:-edge, edge:-edge], moved[..., edge:-edge, edge:-edge], atol=1e-5
    )


def test_each_place_is_normalised_by_the_window_about_it() -> None:
    """Where an image is ten times darker, its windows are told apart as well as elsewhere, as those cut out are."""
    network, values = critic("layer"), images(48, 160)
    values[..., 80:] *= 0.1
    for found in (fast(network, values, 32, 8), crops(values, 32, 8, network)):
        assert found[..., -3:].std() > 0.5 * found[..., :3].std()


def test_only_a_norm_over_each_sample_keeps_windows_apart() -> None:
    assert [normalises_windows(critic(norm)) for norm in ("none", "batch", "layer")] == [False, False, True]
