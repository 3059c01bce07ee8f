"""The layer tables of Osokin et al. at 48 x 80, by their parameters, and who sees whom."""

import pytest
import torch
from torch import nn

from distgan.networks.osokin import Critic, Independent, Plain, Towers, edges_of
from storage.errors import RecipeError

SIZE = (48, 80)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


NETWORKS = {
    "plain": (lambda: Plain(2, SIZE, 100, 64), 3_524_480),
    "separable": (lambda: Towers(2, SIZE, 100, 64, red_portion=0.5), 2_643_840),
    "star": (lambda: Towers(2, SIZE, 100, 64, towers=6), 11_455_040),
    "plain ones": (lambda: Independent([Plain(2, SIZE, 100, 64) for _ in range(6)]), 21_146_880),
    "separable ones": (lambda: Independent([Towers(2, SIZE, 100, 64) for _ in range(6)]), 15_863_040),
    "multi-channel": (lambda: Plain(7, SIZE, 350, 224), 43_158_080),
    "separable multi-channel": (lambda: Towers(7, SIZE, 350, 224, red_portion=0.143), 37_874_240),
    "critic": (lambda: Critic(2, SIZE, 64, batch_norm=False), 2_762_240),
    "normalised critic": (lambda: Critic(2, SIZE, 64, batch_norm=True), 2_764_032),
    "multi-channel critic": (lambda: Critic(7, SIZE, 224, batch_norm=False), 33_770_240),
}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_networks_have_the_parameters_of_the_published_code(name: str) -> None:
    network, count = NETWORKS[name]
    with torch.device("meta"):
        assert parameters(network()) == count


def test_an_equal_share_of_red_is_the_published_one() -> None:
    with torch.device("meta"):
        assert parameters(Towers(7, SIZE, 350, 224)) == 37_874_240


def test_edges_are_halved_while_both_are_above_four() -> None:
    assert edges_of(SIZE) == [(48, 80), (24, 40), (12, 20), (6, 10), (3, 5)]
    assert edges_of((9, 31)) == [(9, 31), (4, 15)]
    with pytest.raises(RecipeError, match="at least 8 x 8"):
        edges_of((7, 40))


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (33, 70), (48, 80), (64, 64)])
def test_images_are_of_any_size_and_each_has_a_score(size: tuple[int, int]) -> None:
    for generator, kinds in ((Plain(3, size, 5, 4), 1), (Towers(3, size, 9, 6, towers=2), 2)):
        images = generator(torch.randn(4, generator.inputs))
        assert images.shape == (kinds, 4, 3, *size)
        assert images.abs().max() <= 1
        assert Critic(3, size, 4, batch_norm=True)(images[0]).shape == (4,)


@pytest.mark.parametrize("portion", [None, 0.25, 0.7])
def test_green_depends_on_red_and_red_on_nothing_of_green(portion: float | None) -> None:
    torch.manual_seed(0)
    star = Towers(2, (16, 24), 12, 12, towers=3, red_portion=portion, green_noise="per_class").eval()
    share = star.red_inputs
    assert share == int(12 * (portion or 0.5))
    assert star.inputs == share + 3 * (12 - share)
    noise = torch.randn(2, star.inputs)
    images = star(noise)
    assert torch.equal(images[0, :, :1], images[2, :, :1])
    other = noise.clone()
    other[:, share + star.green_inputs : share + 2 * star.green_inputs] += 1  # the second tower's own
    found = star(other)
    assert torch.equal(found[:, :, :1], images[:, :, :1])
    assert torch.equal(found[[0, 2]], images[[0, 2]])
    assert not torch.equal(found[1, :, 1:], images[1, :, 1:])
    other = noise.clone()
    other[:, :share] += 1
    found = star(other)
    assert all(not torch.equal(found[tower, :, 1:], images[tower, :, 1:]) for tower in range(3))


def test_green_towers_may_share_their_noise() -> None:
    star = Towers(2, (16, 16), 12, 8, towers=3)
    assert star.inputs == 12
    star.green[1].load_state_dict(star.green[0].state_dict())
    images = star.eval()(torch.randn(2, 12))
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_red_is_normalised_once_however_many_green_towers_there_are() -> None:
    star = Towers(2, (16, 16), 12, 8, towers=3)
    star(torch.randn(4, 12))
    norms = [module for module in star.red.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(norm.num_batches_tracked == 1 for norm in norms)


def test_one_tower_is_the_star_of_one_class() -> None:
    """And the star of two, of which one is left out."""
    one, two = Towers(2, (16, 16), 12, 8), Towers(2, (16, 16), 12, 8, towers=2)
    one.red.load_state_dict(two.red.state_dict())
    one.green[0].load_state_dict(two.green[0].state_dict())
    noise = torch.randn(4, 12)
    assert torch.equal(one(noise)[0], two(noise)[0])


def test_independent_generators_have_nothing_in_common_but_the_noise() -> None:
    both = Independent([Towers(2, (16, 16), 12, 8), Towers(2, (16, 16), 12, 8)]).eval()
    images = both(torch.randn(3, both.inputs))
    assert images.shape == (2, 3, 2, 16, 16)
    assert not torch.equal(images[0, :, 0], images[1, :, 0])


def test_a_tower_without_features_is_refused() -> None:
    with pytest.raises(RecipeError, match="feature maps would be red"):
        Towers(2, (16, 16), 12, 8, red_portion=0.1)
