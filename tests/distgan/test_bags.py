"""Windows cover every pixel, and a bag is as its windows say."""

from itertools import pairwise

import pytest
import torch

from distgan.networks.bags import BagCritic, GatedAttention, positions, strongest, windows


@pytest.mark.parametrize(
    ("edge", "window", "stride"), [(128, 32, 16), (128, 32, 40), (40, 32, 16), (32, 32, 5), (70, 32, 64)]
)
def test_windows_reach_the_last_pixel_and_each_begins_once(edge: int, window: int, stride: int) -> None:
    found = positions(edge, window, stride)
    assert (found[0], found[-1]) == (0, edge - window)
    assert len(set(found)) == len(found)
    steps = [after - before for before, after in pairwise(found)]
    assert all(0 < step <= stride for step in steps)


def test_windows_are_cut_row_by_row() -> None:
    images = torch.arange(2 * 3 * 6 * 9.0).reshape(2, 3, 6, 9)
    found = windows(images, 4, 2)
    assert found.shape == (2, 2 * 4, 3, 4, 4)
    assert torch.equal(found[:, 0], images[..., :4, :4])
    assert torch.equal(found[:, 3], images[..., :4, 5:9])
    assert torch.equal(found[:, 4], images[..., 2:6, :4])


def test_attention_adds_up_to_one_and_does_not_mind_the_order() -> None:
    torch.manual_seed(0)
    attention, features = GatedAttention(8, 4), torch.randn(2, 5, 8)
    found = attention(features)
    assert found.shape == (2, 5)
    torch.testing.assert_close(found.sum(1), torch.ones(2))
    assert found.std() > 0
    torch.testing.assert_close(attention(features.flip(1)), found.flip(1))
    gates = attention.content(features).tanh() * attention.gate(features).sigmoid()
    torch.testing.assert_close(found, torch.softmax(gates @ attention.weight.weight[0], dim=1))


@pytest.mark.parametrize("positive", [0, 1, 2])
def test_the_strongest_window_is_that_with_the_greatest_odds(positive: int) -> None:
    logits = torch.randn(4, 6, 3)
    found, odds = strongest(logits, positive), logits.softmax(2)[..., positive]
    assert torch.equal(found, logits[torch.arange(4), odds.argmax(1)])
    two = strongest(logits[..., :2], 1)
    assert torch.equal((two[:, 1] - two[:, 0]), (logits[..., 1] - logits[..., 0]).max(1).values)


def test_a_critic_without_attention_has_no_weights_for_it() -> None:
    keys = {"width": 4, "norm": "layer", "momentum": 0.1, "outputs": 2}
    assert not [name for name, _ in BagCritic(1, 32, 0, **keys).named_parameters() if "attention" in name]
    assert [name for name, _ in BagCritic(1, 32, 4, **keys).named_parameters() if "attention" in name]
