"""What a test set shares with its training set."""

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from storage import leakage
from storage.leakage import Leaks, difference_hashes, equal_pixels, leaks, near_duplicates, pixel_hashes


@pytest.fixture
def block() -> NDArray[np.uint8]:
    """40 smooth pictures of 2 channels and 24 x 30 pixels."""
    random = np.random.default_rng(0)
    coarse = random.uniform(20, 200, (40, 2, 6, 5))
    return (coarse.repeat(4, axis=2).repeat(6, axis=3) + random.normal(0, 2, (40, 2, 24, 30))).astype(np.uint8)


def table(block: NDArray[np.uint8], **columns: list[str]) -> pa.Table:
    return pa.table({"pixels": pixel_hashes(block), "dhash": difference_hashes(block)} | columns)


def distances(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.bitwise_count(one ^ other)


def test_pixel_hashes_tell_pictures_apart_by_any_pixel(block: NDArray[np.uint8]) -> None:
    changed = block.copy()
    changed[:, 1, 3, 7] ^= 1
    hashes = pixel_hashes(np.concatenate([block, changed]))
    assert hashes.dtype == np.int64
    assert len(set(hashes.tolist())) == 80
    assert np.array_equal(pixel_hashes(block[::2]), hashes[:40:2])
    assert int(pixel_hashes(np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2))[0]) == 0x054EDEC1D0211F62


def test_a_difference_hash_says_where_it_grows_brighter() -> None:
    ramp = np.tile(np.arange(90.0), (1, 1, 80, 1))
    falls, half = ramp[..., ::-1], np.concatenate([ramp[:, :, :40], ramp[:, :, 40:, ::-1]], axis=2)
    found = [int(difference_hashes(one)[0]) & (2**64 - 1) for one in (ramp, falls, half)]
    assert found == [2**64 - 1, 0, 0xFFFFFFFF00000000]


@pytest.mark.parametrize("shape", [(24, 30), (8, 9), (5, 7), (31, 17)])
def test_shrinking_by_area_is_the_mean_over_the_area(shape: tuple[int, int]) -> None:
    """Every pixel repeated until 8 and 9 divide the picture, and then plain means."""
    picture = np.random.default_rng(1).integers(0, 256, (1, 1, *shape)).astype(float)
    large = picture.repeat(8, axis=2).repeat(9, axis=3)
    assert difference_hashes(large)[0] == difference_hashes(picture)[0]
    means = large.reshape(8, shape[0], 9, shape[1]).mean((1, 3))
    bits = "".join(str(int(bit)) for bit in (np.diff(means) > 1e-6).ravel())
    assert int(difference_hashes(picture)[0]) & (2**64 - 1) == int(bits, 2)


def test_another_exposure_and_a_little_noise_are_near_and_other_pictures_are_not(block: NDArray[np.uint8]) -> None:
    hashes = difference_hashes(block)
    noisy = block + np.random.default_rng(1).normal(0, 2, block.shape)
    assert distances(hashes, difference_hashes(block * 0.6)).max() <= 2
    assert np.median(distances(hashes, difference_hashes(noisy))) <= 3
    others = distances(hashes[:, None], hashes[None, :])[~np.eye(40, dtype=bool)]
    assert others.min() > 3
    assert near_duplicates(hashes[:20], np.concatenate([hashes[10:30], hashes[10:11]])) == (11, 21)


def test_volumes_are_hashed_over_their_mean(block: NDArray[np.uint8]) -> None:
    volume = np.stack([block, block], axis=2)
    assert np.array_equal(difference_hashes(volume), difference_hashes(block))
    assert len(set(pixel_hashes(volume).tolist())) == 40


def test_constant_pictures_are_no_duplicates(block: NDArray[np.uint8]) -> None:
    empty = np.full((3, 2, 24, 30), 7, np.uint8)
    assert not pixel_hashes(empty).any()
    assert not difference_hashes(empty).any()
    assert leaks(table(empty), table(empty), ()) == Leaks({}, 0, 0, 0)
    assert difference_hashes(block[:0]).shape == pixel_hashes(block[:0]).shape == (0,)


def test_the_report_counts_test_samples(block: NDArray[np.uint8]) -> None:
    near = block[:4].copy()
    near[:, 0, 0, 0] ^= 1
    test = np.concatenate([block[:3], block[:1], near, block[30:35]])
    train = table(block[:20], plate=["a"] * 10 + ["b"] * 10, file=[f"{number}" for number in range(20)])
    found = leaks(train, table(test, plate=["b"] * 13, file=["3", "4", *["other"] * 11]), ("plate", "file"))
    assert found == Leaks({"plate": 1, "file": 2}, equal=4, near=8, looked_at=13)
    assert equal_pixels(train, table(test)).tolist() == [True] * 4 + [False] * 9


def test_stores_without_hashes_are_not_checked() -> None:
    old = pa.table({"embryo": ["a", "b"]})
    assert leaks(old, old, ("embryo",)) == Leaks({"embryo": 2}, 0, 0, 0)


def test_of_too_many_pairs_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(0).integers(1, 2**63, 1000)
    monkeypatch.setattr(leakage, "MOST_PAIRS", 100_000)
    assert near_duplicates(hashes, hashes) == (100, 100)
