"""The shapes and sizes of the networks, as published."""

import pytest
import torch
from torch import nn

from distgan.method import Normalisation
from distgan.networks.features import FeatureAutoencoder
from distgan.networks.rosette import Critic, Generator
from storage.errors import RecipeError


def trainable(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def test_the_generator_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert trainable(Generator(channels=1, size=32, noise=64, width=32, momentum=0.1)) == 36_277_633


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_the_critic_has_the_published_number_of_parameters(norm: Normalisation) -> None:
    """Batch normalisation has offsets alone; per-sample normalisation has a scale of each map, too."""
    with torch.device("meta"):
        critic = Critic(channels=1, size=32, width=32, norm=norm, momentum=0.1)
    scales = 32 + 64 + 128 if norm == "layer" else 0
    assert trainable(critic) == 689_633 + scales


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_of_the_size_asked_for_and_each_has_a_score(size: int, channels: int) -> None:
    generator, critic = Generator(channels, size, 5, 4, 0.1), Critic(channels, size, 4, "layer", 0.1)
    images = generator(torch.randn(2, 5))
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1
    assert critic(images).shape == (2,)


def test_a_critic_of_classes_has_a_score_for_each_and_is_a_critic_otherwise() -> None:
    torch.manual_seed(0)
    critic = Critic(1, 32, 4, "layer", 0.1)
    classifier = Critic(1, 32, 4, "layer", 0.1, outputs=3)
    images = torch.randn(2, 1, 32, 32)
    assert classifier(images).shape == (2, 3)
    assert classifier.features(images).shape == (2, classifier.hidden) == (2, 32)
    torch.testing.assert_close(critic(images), critic.score(critic.features(images)).squeeze(1))
    own, other = critic.state_dict(), classifier.state_dict()
    assert {name for name in own if own[name].shape != other[name].shape} == {"score.weight", "score.bias"}
    assert own.keys() == other.keys()


@pytest.mark.parametrize("dense_norm", ["batch", "layer", "none"])
def test_the_dense_layer_and_the_scores_may_be_normalised_otherwise(dense_norm: Normalisation) -> None:
    critic = Critic(1, 32, 4, "batch", 0.1, outputs=2, slope=0.01, dense_norm=dense_norm, score_norm=True)
    kinds = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": nn.Identity}
    assert type(critic.dense[2]) is kinds[dense_norm]
    assert (critic.dense[1].bias is not None) == (dense_norm == "none")
    scores = critic(torch.randn(8, 1, 32, 32))
    torch.testing.assert_close(scores.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    assert {layer.negative_slope for layer in critic.modules() if isinstance(layer, nn.LeakyReLU)} == {0.01}


@pytest.mark.parametrize("size", [0, 16, 33, 48, 256])
def test_another_size_is_refused_with_those_that_can_be_had(size: int) -> None:
    for make in (lambda: Generator(1, size, 5, 4, 0.1), lambda: Critic(1, size, 4, "layer", 0.1)):
        with pytest.raises(RecipeError, match="32, 64, 128") as caught:
            make()
        assert str(size) in caught.value.found


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_without_batch_normalisation_a_score_depends_on_its_own_image_alone(norm: Normalisation) -> None:
    critic = Critic(1, 32, 4, norm, 0.1)
    images = torch.randn(4, 1, 32, 32)
    torch.testing.assert_close(critic(images)[:1], critic(images[:1]))


def test_with_batch_normalisation_it_depends_on_the_others() -> None:
    critic = Critic(1, 32, 4, "batch", 0.1)
    images = torch.randn(4, 1, 32, 32)
    assert not torch.allclose(critic(images)[:2], critic(images[:2]))


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_features_are_two_numbers_per_map_and_the_images_are_given_back(channels: int) -> None:
    network = FeatureAutoencoder(channels)
    images = torch.rand(3, channels, 32, 40)
    assert network(images).shape == images.shape
    assert network.features(images).shape == (3, 2 * (16 + 32 + 64))
