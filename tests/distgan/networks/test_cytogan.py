"""The shapes and sizes of CytoGAN's networks, as measured on its code."""

import pytest
import torch
from torch import nn

from distgan.method import Sample
from distgan.networks.autoencoder import DenseDecoder, DenseEncoder
from distgan.networks.began import AutoencodingCritic
from distgan.networks.began import Generator as Decoding
from distgan.networks.bigan import Encoder, PairCritic
from distgan.networks.condition import Condition
from distgan.networks.cytogan import Critic, Generator, square
from distgan.networks.vae import Decoder, MaxPool
from distgan.networks.vae import Encoder as Pooling
from storage.errors import RecipeError

NOTHING = Condition({}, 16)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_generator_and_critic_have_the_parameters_of_the_published_code() -> None:
    with torch.device("meta"):
        assert parameters(Generator(3, 96, 100, 32, NOTHING)) == 4_875_267
        assert parameters(Critic(3, 96, 32, 100, "linear", NOTHING)) == 4_764_681


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("size", [32, 64, 96, 128])
def test_images_are_of_the_size_asked_for_and_each_has_a_score_and_a_representation(size: int, channels: int) -> None:
    generator, critic = Generator(channels, size, 5, 4, NOTHING), Critic(channels, size, 2, 7, "linear", NOTHING)
    images = generator(torch.randn(2, 5), {})
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1
    assert critic(images, {}).shape == (2,)
    assert critic.representation(images).shape == (2, 7)
    made = Decoding(channels, size, 5, 4, NOTHING)(torch.randn(2, 5), {})
    began = AutoencodingCritic(channels, size, 2, 4, 6, NOTHING)
    assert began(made, {}).shape == images.shape == made.shape
    assert began.representation(made).shape == (2, 6)
    codes = Encoder(channels, size, 5, 2)(images)
    assert codes.shape == (2, 5)
    kept = PairCritic(channels, size, 5, 2, 4, NOTHING)(images, codes, {}, lambda activations, layer: activations)
    assert kept.shape == (2,)
    vectors = Pooling(channels, size, (4, 3, 2), 5, heads=2)(images)
    assert vectors.shape == (2, 10)
    assert Decoder(channels, size, (2, 3, 4), 10)(vectors).shape == images.shape
    shape = (channels, size, size)
    assert DenseDecoder(shape, 5)(DenseEncoder(shape, 5)(images)).shape == images.shape


def test_the_strides_are_the_published_ones() -> None:
    """Feature maps at 96 pixels: 96, 48, 24, 12; in BEGAN's encoder 6 at the end."""
    with torch.device("meta"):
        critic, began = Critic(3, 96, 32, 100, "linear", NOTHING), AutoencodingCritic(3, 96, 64, 128, 100, NOTHING)
        assert critic.convolutions(torch.zeros(1, 3, 96, 96)).shape == (1, 256, 12, 12)
        assert began.encoder[:-2](torch.zeros(1, 3, 96, 96)).shape == (1, 384, 6, 6)
        assert Encoder(3, 96, 100, 16).convolutions[:-1](torch.zeros(1, 3, 96, 96)).shape == (1, 16, 12, 12)
        assert Pooling(3, 96, (128, 64, 32), 256).convolutions[:-1](torch.zeros(1, 3, 96, 96)).shape == (1, 32, 12, 12)


def test_a_linear_representation_has_negative_values_as_large_as_positive_ones() -> None:
    torch.manual_seed(0)
    linear, bent = (Critic(1, 32, 4, 50, hidden, NOTHING) for hidden in ("linear", "leaky_relu"))
    bent.load_state_dict(linear.state_dict())
    images = torch.randn(8, 1, 32, 32)
    plain = linear.representation(images)
    assert torch.equal(bent.representation(images), nn.functional.leaky_relu(plain, 0.2))
    assert not torch.equal(bent.representation(images), plain)


@pytest.mark.parametrize("shape", [(1, 32, 40), (1, 36, 36), (1, 24, 24), (1, 136, 136), (1, 32, 32, 32)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RecipeError, match="multiple of 8"):
        square(Sample(shape), 8)


def test_pooling_is_torch_s() -> None:
    images = torch.randn(2, 3, 8, 12)
    assert torch.equal(MaxPool()(images), nn.functional.max_pool2d(images, 2))
