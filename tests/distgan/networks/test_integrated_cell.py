"""The networks of the integrated cell have the published sizes, flat and solid."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from distgan.networks.conditional_vae import ConditionalDecoder, ConditionalEncoder
from distgan.networks.integrated_cell import CodeCritic, Decoder, Encoder, ImageCritic, halved, levels_of
from storage.errors import RecipeError

PUBLISHED = (256, 256)


def unchanged(values: Tensor, place: str) -> Tensor:
    return values


def millions(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


@pytest.fixture
def no_memory() -> object:
    return torch.device("meta")


def test_networks_are_as_large_as_the_published_ones(no_memory: torch.device) -> None:
    """Table C1 of what was measured: Enc_r 27.9 + 0.26, Dec_r 28.2, Enc_rs 28.6, Dec_rs 28.6, DecD 7.0 and 7.3."""
    with no_memory:
        assert millions(Encoder(2, PUBLISHED, 64, 6, (16,))) == pytest.approx(27.92 + 0.26, abs=0.02)
        assert millions(Decoder(2, PUBLISHED, 64, 6, 16, "code")) == pytest.approx(28.2, abs=0.05)
        assert millions(Encoder(3, PUBLISHED, 64, 6, (10, 16, 16))) == pytest.approx(28.6, abs=0.05)
        assert millions(Decoder(3, PUBLISHED, 64, 6, 42, "code")) == pytest.approx(28.6, abs=0.1)
        assert millions(ImageCritic(2, PUBLISHED, 64, 5, 1, "code")) == pytest.approx(7.0, abs=0.05)
        assert millions(ImageCritic(3, PUBLISHED, 64, 5, 11, "code")) == pytest.approx(7.3, abs=0.05)
        widths = [layer.out_features for layer in CodeCritic(16, 512).layers if isinstance(layer, nn.Linear)]
    assert widths == [1024, 1024, 512, 1]


def test_layers_are_those_of_the_tables(no_memory: torch.device) -> None:
    with no_memory:
        encoder = Encoder(2, PUBLISHED, 64, 6, (16,)).convolutions
        decoder = Decoder(2, PUBLISHED, 64, 6, 16, "code").convolutions
        critic = ImageCritic(2, PUBLISHED, 64, 5, 1, "code").convolutions
    assert [one.out_channels for one in encoder if isinstance(one, nn.Conv2d)] == [64, 128, 256, 512, 1024, 1024]
    assert [one.out_channels for one in decoder if isinstance(one, nn.ConvTranspose2d)] == [1024, 512, 256, 128, 64, 2]
    assert [one.out_channels for one in critic if isinstance(one, nn.Conv2d)] == [64, 128, 256, 512, 512]
    convolutions = [one for net in (encoder, decoder, critic) for one in net if hasattr(one, "kernel_size")]
    assert {(one.kernel_size, one.stride, one.bias) for one in convolutions} == {((4, 4), (2, 2), None)}
    assert isinstance(decoder[-1], nn.ConvTranspose2d)


@pytest.mark.parametrize(("layers", "more"), [("code", 0), ("tables", 1)])
def test_the_tables_normalise_what_the_code_does_not(layers: str, more: int) -> None:
    def norms(network: nn.Module) -> int:
        return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())

    assert norms(Decoder(1, (32, 32), 4, 3, 4, layers)) == 2 + 2 * more  # type: ignore[arg-type]
    assert norms(ImageCritic(1, (32, 32), 4, 3, 1, layers)) == 2 + more  # type: ignore[arg-type]


EDGES: Sequence[tuple[int, ...]] = [(32, 32), (16, 48), (4, 32, 48), (1, 8, 8), (7, 16, 16)]


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_edges_come_back(edges: tuple[int, ...], channels: int) -> None:
    images = torch.rand(2, channels, *edges)
    codes = Encoder(channels, edges, 4, 3, (5, 7))(images)
    assert [code.shape for code in codes] == [(2, 5), (2, 7)]
    assert Decoder(channels, edges, 4, 3, 7, "code")(codes[1]).shape == images.shape
    assert ImageCritic(channels, edges, 4, 3, 6, "tables")(images, unchanged).shape == (2, 6)
    told = torch.rand(2, 2, *edges), torch.eye(3)[:2]
    assert ConditionalEncoder(channels, 2, 3, edges, 4, 3, 6)(images, *told).shape == (2, 12)
    made = ConditionalDecoder(channels, 2, 3, edges, 4, 3, 6)(torch.randn(2, 6), *told)
    assert made.shape == images.shape
    assert made.min() >= 0


def test_images_that_stay_large_are_refused() -> None:
    assert levels_of((4, 32, 48), 3)[-1] == (1, 4, 6)
    with pytest.raises(RecipeError, match=r"not made small enough.*63 x 65|63 x 65"):
        levels_of((63, 65), 3)


def test_references_are_made_small_by_means() -> None:
    images = torch.arange(16.0).reshape(1, 1, 1, 4, 4)
    found = halved(images, [(1, 4, 4), (1, 2, 2), (1, 1, 1)])
    assert found[2].flatten().tolist() == [7.5]
    assert found[1].flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_a_critic_sees_white_noise_in_two_places() -> None:
    places: list[tuple[str, tuple[int, ...]]] = []

    def noted(values: Tensor, place: str) -> Tensor:
        places.append((place, tuple(values.shape)))
        return values

    ImageCritic(1, (16, 16), 4, 2, 1, "code")(torch.rand(3, 1, 16, 16), noted)
    assert places == [("images", (3, 1, 16, 16)), ("activations", (3, 8, 4, 4))]


def test_no_weight_of_the_vae_stretches_more_than_once() -> None:
    network = ConditionalEncoder(1, 1, 2, (16, 16), 4, 2, 4)
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert weights
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.1)
