"""The sizes and shapes of the networks of Han et al., as measured on their code."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distgan.networks.label_generator import LabelGenerator
from distgan.networks.normalisation import normalised
from distgan.networks.patch_discriminator import (
    MultiScaleDiscriminator,
    PatchDiscriminator,
    Smaller,
    WholeDiscriminator,
)
from distgan.networks.refinement import RefinementNetwork
from distgan.networks.unet import UNet
from storage.errors import RecipeError


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_networks_have_the_parameters_of_the_published_code() -> None:
    with torch.device("meta"):
        assert parameters(LabelGenerator(2, 8, 32, 5, "instance_affine")) == 1_772_448
        assert parameters(LabelGenerator(2, 8, 32, 5, "batch")) == 1_772_448
        assert parameters(PatchDiscriminator(2, 32, 3, "instance")) == 693_729
        assert parameters(PatchDiscriminator(3, 64, 3, "instance")) == 2_764_737
        assert parameters(PatchDiscriminator(3, 64, 4, "instance")) == 6_959_553


def test_scores_are_as_many_as_published() -> None:
    with torch.device("meta"):
        images = torch.zeros(1, 1, 512, 512)
        assert PatchDiscriminator(1, 32, 3, "none")(images).shape == (1, 1, 67, 67)
        assert PatchDiscriminator(1, 32, 4, "none")(images).shape == (1, 1, 35, 35)


@pytest.mark.parametrize(("depth", "field"), [(3, 70), (4, 142), (5, 286)])
def test_a_score_is_of_a_patch_of_the_published_size(depth: int, field: int) -> None:
    torch.manual_seed(0)
    critic = PatchDiscriminator(1, 2, depth, "none")
    images = torch.randn(1, 1, 512, 512, requires_grad=True)
    scores = critic(images)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    assert images.grad is not None
    rows = images.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == field


@pytest.mark.parametrize(("edges", "size"), [((2, 2), (128, 128)), ((4, 8), (256, 512)), ((8, 8), (512, 512))])
def test_a_noise_image_of_any_size_makes_labels_of_64_times_its_edges(
    edges: tuple[int, int], size: tuple[int, int]
) -> None:
    generator = LabelGenerator(2, 8, 2, 5, "instance_affine")
    labels = generator(torch.randn(1, 8, *edges))
    assert labels.shape == (1, 2, *size)
    assert labels.abs().max() <= 1
    assert generator.inputs(*size) == (8, *edges)


def test_a_larger_noise_image_is_more_of_the_same() -> None:
    """Without normalisation, far from the border, what is made depends on the noise nearby alone."""
    torch.manual_seed(0)
    generator = LabelGenerator(1, 3, 2, 2, "none").double()
    noise = torch.randn(1, 3, 12, 12, dtype=torch.float64)
    large, small = generator(noise), generator(noise[..., :8, :8])
    assert torch.allclose(large[..., :48, :48], small[..., :48, :48], rtol=1e-9, atol=0)


def test_labels_of_other_sizes_are_refused() -> None:
    with pytest.raises(RecipeError, match="multiples of 64"):
        LabelGenerator(2, 8, 2, 5, "batch").inputs(128, 100)
    vector = LabelGenerator(2, 8, 2, 5, "batch", "vector")
    assert vector.inputs(128, 128) == (8, 1, 1)
    with pytest.raises(RecipeError, match="128 x 128, and they are 256 x 256"):
        vector.inputs(256, 256)
    with pytest.raises(RecipeError, match="multiples of 16"):
        UNet(1, 2, 2, 4, "instance")(torch.zeros(1, 1, 40, 48))


def test_a_vector_becomes_four_pixels_first() -> None:
    vector = LabelGenerator(2, 8, 4, 5, "instance_affine", "vector")
    assert vector(torch.randn(2, 8, 1, 1)).shape == (2, 2, 128, 128)


def test_instance_normalisation_is_that_of_a_batch_of_one() -> None:
    activations = torch.randn(1, 3, 8, 8)
    batch, affine = normalised("batch", 3), normalised("instance_affine", 3)
    assert torch.allclose(batch(activations), affine(activations), atol=1e-6)
    assert sum(p.numel() for p in affine.parameters()) == 6
    assert not list(normalised("instance", 3).parameters())
    assert normalised("none", 3)(activations) is activations


def test_images_are_blurred_before_they_are_made_smaller() -> None:
    """A pattern that would alias to a constant is gone; a constant is as it was, but for the border."""
    stripes = (torch.arange(32) % 2 * 2.0 - 1).expand(1, 2, 32, 32)
    found = Smaller(2)(stripes)
    assert found.shape == (1, 2, 16, 16)
    assert found[..., 2:-2, 2:-2].abs().max() < 0.05 < stripes[..., ::2, ::2].abs().min()
    flat = Smaller(4)(torch.ones(1, 1, 64, 64))
    assert torch.allclose(flat[..., 1:-1, 1:-1], torch.ones(1, 1, 14, 14))
    assert Smaller(4).kernel.shape == (1, 1, 9, 9)
    assert Smaller(1)(stripes) is stripes
    assert not Smaller(2).state_dict()


def test_each_scale_has_its_own_discriminator() -> None:
    towers = [PatchDiscriminator(2, 4, depth, "instance") for depth in (3, 4)]
    critic = MultiScaleDiscriminator((1, 2), towers)
    images = torch.randn(3, 2, 64, 64)
    scores = critic(images)
    assert [score.shape for score in scores] == [towers[0](images).shape, towers[1](images[..., ::2, ::2]).shape]
    assert WholeDiscriminator(2, 64, 4, "batch")(images).shape == (3, 1, 1, 1)


def spread(network: nn.Module, noise: int) -> float:
    """How far images of the same labels and other noise are apart."""
    labels = torch.randn(1, 2, 32, 32).sign().expand(2, -1, -1, -1)
    first, second = network(labels, torch.randn(2, noise, 2, 2))
    return (first - second).abs().mean().item()


def test_both_networks_listen_to_their_noise() -> None:
    torch.manual_seed(0)
    refinement = RefinementNetwork(2, 1, 3, 8, 4, 2, "instance")
    unet = UNet(2, 1, 8, 4, "instance", 3)
    assert refinement(torch.zeros(1, 2, 32, 48), torch.randn(1, 3, 2, 3)).shape == (1, 1, 32, 48)
    assert unet(torch.zeros(1, 2, 32, 48), torch.randn(1, 3, 2, 3)).shape == (1, 1, 32, 48)
    assert spread(refinement, 3) > 1e-5
    assert spread(unet, 3) > 1e-5
    deaf = UNet(2, 1, 8, 4, "instance")
    assert spread(deaf, 3) == 0


def test_every_module_is_shown_the_labels_at_its_own_size() -> None:
    """Labels that differ in one pixel alone make other images, and so do those that are alike at full size only."""
    torch.manual_seed(0)
    network = RefinementNetwork(1, 1, 2, 4, 3, 2, "none")
    sizes: list[int] = []
    for double in network.doublings:
        double.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[-1]))
    network(torch.zeros(1, 1, 32, 32), torch.zeros(1, 2, 4, 4))
    assert sizes == [4, 8, 16]
    inside = [double[0].in_channels for double in network.doublings]
    assert inside == [1 + 2, 8, 8]


def test_noise_of_levels_goes_where_the_published_code_has_it() -> None:
    seen: list[tuple[int, bool]] = []

    def note(activations: Tensor, layer: int, *, dropped: bool) -> Tensor:
        seen.append((layer, dropped))
        return activations

    UNet(1, 1, 2, 8, "instance")(torch.zeros(1, 1, 256, 256), None, note)
    assert seen == [(7, False), (6, True), (5, True), (4, True), (3, False), (2, False), (1, False)]
    seen.clear()
    RefinementNetwork(1, 1, 1, 4, 3, 2, "none")(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 2, 2), note)
    assert seen == [(0, False), (1, False)]


def test_a_unet_keeps_what_it_saw_at_every_size() -> None:
    network = UNet(1, 2, 4, 3, "none")
    image = torch.zeros(1, 1, 16, 16)
    image[..., 3, 5] = 1
    found = network(image) - network(torch.zeros(1, 1, 16, 16))
    assert found.shape == (1, 2, 16, 16)
    assert F.max_pool2d(found.abs(), 16).min() > 0
