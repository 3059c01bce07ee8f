"""Mirrored and turned images: every way equally often, and always the same at the same place of the stream."""

import numpy as np
import pytest
import torch
from torch import Tensor

from distgan.augment import augmented, check_augment, random_bits
from distgan.sections import Augment
from storage.errors import RecipeError

FLIP, TURN, BOTH = Augment(flip=True), Augment(quarter_turns=True), Augment(flip=True, quarter_turns=True)


def marked(count: int, *shape: int) -> Tensor:
    return torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(1, *shape).repeat(count, *[1] * len(shape))


def ways(images: Tensor) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for image in images:
        key = image.contiguous().numpy().tobytes()
        found[key] = found.get(key, 0) + 1
    return found


@pytest.mark.parametrize(("augment", "number"), [(Augment(), 1), (FLIP, 4), (TURN, 4), (BOTH, 8)])
@pytest.mark.parametrize("shape", [(2, 3, 3), (1, 2, 3, 3)])
def test_every_way_comes_equally_often(augment: Augment, number: int, shape: tuple[int, ...]) -> None:
    """Of 4,000 images; a count spreads by 59 at most (of two ways of eight, 22)."""
    found = ways(augmented(marked(4000, *shape), augment, 0, 0))
    assert len(found) == number
    assert all(abs(count - 4000 / number) < 120 for count in found.values())


def test_only_y_and_x_are_turned() -> None:
    volume = marked(64, 2, 3, 4, 4)
    for image in augmented(volume, BOTH, 0, 0):
        assert torch.equal(image.sort(dim=-1).values.sort(dim=-2).values.amin((-1, -2)), volume[0].amin((-1, -2)))


def test_a_place_in_the_stream_is_all_that_counts() -> None:
    images = torch.rand(40, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    whole = augmented(images, BOTH, 3, 1000)
    parts = [augmented(images[start : start + 8], BOTH, 3, 1000 + start) for start in range(0, 40, 8)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(augmented(images, BOTH, 3, 1040), whole)
    assert not torch.equal(augmented(images, BOTH, 4, 1000), whole)


def test_images_that_are_not_square_are_only_mirrored() -> None:
    assert (
        ways(augmented(marked(100, 1, 4, 6), FLIP, 0, 0)).keys()
        == ways(torch.stack([marked(1, 1, 4, 6)[0].flip(axes) for axes in ([], [-1], [-2], [-1, -2])])).keys()
    )
    check_augment(FLIP, (100, 1, 4, 6))
    check_augment(TURN, (100, 1, 6, 6))
    with pytest.raises(RecipeError, match=r"quarter_turns = true, and images of 4 x 6"):
        check_augment(TURN, (100, 1, 4, 6))


def test_the_bits_stay_the_same_from_version_to_version_and_are_fair() -> None:
    """SplitMix64 of 0 is known: 0xE220A8397B1DCDAF."""
    known = 0xE220A8397B1DCDAF
    assert int(random_bits(0, known, 1)[0]) == 0xE220A8397B1DCDAF  # the seed's own number cancels the position
    bits = random_bits(7, 2**40, 20_000)
    ones = [(bits >> np.uint64(place) & np.uint64(1)).mean() for place in range(4)]
    assert ones == pytest.approx([0.5] * 4, abs=0.02)
    assert len(np.unique(bits)) == 20_000
