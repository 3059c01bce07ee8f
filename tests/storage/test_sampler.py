"""The stream of samples: a function of size, seed and position, and of nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.sampler import BlockSampler, Indices, Sampler, StratifiedSampler, clumping

SIZES = st.integers(1, 50)
SEEDS = st.integers(0, 2**63)


@given(size=SIZES, seed=SEEDS, start=st.integers(0, 500), counts=st.lists(st.integers(0, 120), max_size=8))
def test_any_takes_in_a_row_equal_one_take(size: int, seed: int, start: int, counts: list[int]) -> None:
    sampler, position, parts = Sampler(size, seed), start, []
    for count in counts:
        parts.append(sampler.take(position, count))
        position += count
    whole = Sampler(size, seed).take(start, sum(counts))
    assert whole.dtype == np.int64
    assert np.array_equal(np.concatenate([np.empty(0, np.int64), *parts]), whole)


@given(size=SIZES, seed=SEEDS, epoch=st.integers(0, 100))
def test_every_epoch_has_every_sample_once(size: int, seed: int, epoch: int) -> None:
    assert sorted(Sampler(size, seed).take(epoch * size, size)) == list(range(size))


@given(size=SIZES, seed=SEEDS, start=st.integers(0, 500), workers=st.integers(1, 7), each=st.integers(1, 9))
def test_workers_that_share_a_batch_see_what_one_would(
    size: int, seed: int, start: int, workers: int, each: int
) -> None:
    parts = [Sampler(size, seed).take(start + worker * each, each) for worker in range(workers)]
    assert np.array_equal(np.concatenate(parts), Sampler(size, seed).take(start, workers * each))


def test_positions_may_be_asked_in_any_order() -> None:
    sampler = Sampler(10, 0)
    assert [sampler.take(position, 4).tolist() for position in (95, 3, 95)] == [
        Sampler(10, 0).take(position, 4).tolist() for position in (95, 3, 95)
    ]


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    epochs = {tuple(Sampler(20, seed).take(20 * epoch, 20)) for seed in range(5) for epoch in range(5)}
    assert len(epochs) == 25
    assert tuple(range(20)) not in epochs


def test_the_order_stays_the_same_from_version_to_version() -> None:
    """A checkpoint remembers only a position: another order under it would repeat some samples and skip others."""
    assert Sampler(5, 3).take(0, 10).tolist() == [4, 0, 1, 2, 3, 0, 1, 3, 2, 4]


def test_no_samples_are_our_mistake() -> None:
    with pytest.raises(AssertionError, match="needs samples"):
        Sampler(0, 0)


# classes in turn


@given(
    classes=st.lists(st.sampled_from("abc"), min_size=1, max_size=30),
    start=st.integers(0, 300),
    count=st.integers(0, 60),
)
def test_a_batch_has_equally_many_of_each_class(classes: list[str], start: int, count: int) -> None:
    kinds = np.array(classes)
    order, number = StratifiedSampler(kinds, 0), len(set(classes))
    taken = order.take(start * number, count * number)
    assert [(kinds[taken] == name).sum() for name in sorted(set(classes))] == [count] * number
    parts = [order.take(start * number + place, 1) for place in range(count * number)]
    assert np.array_equal(taken, np.concatenate([np.empty(0, np.int64), *parts]))


def test_every_sample_of_a_class_comes_once_before_any_comes_again() -> None:
    classes = np.array(list("aaaaabbb"))
    taken = StratifiedSampler(classes, 1).take(0, 60)
    ours, theirs = taken[taken < 5], taken[taken >= 5]
    assert [sorted(ours[start : start + 5]) for start in range(0, 30, 5)] == [[0, 1, 2, 3, 4]] * 6
    assert [sorted(theirs[start : start + 3]) for start in range(0, 30, 3)] == [[5, 6, 7]] * 10
    assert len({tuple(theirs[start : start + 3]) for start in range(0, 30, 3)}) > 2


def test_classes_of_one_size_are_shuffled_differently() -> None:
    taken = StratifiedSampler(np.repeat(["a", "b"], 20), 0).take(0, 40)
    assert not np.array_equal(taken[::2], taken[1::2] - 20)


# shuffled blocks


@st.composite
def block_samplers(draw: st.DrawFn) -> tuple[BlockSampler, Indices]:
    every = draw(st.integers(1, 90))
    rows = np.flatnonzero(draw(st.lists(st.booleans(), min_size=every, max_size=every)))
    rows = rows if len(rows) else np.arange(every)
    shards = draw(st.integers(1, 4))
    chunk, each, blocks = draw(st.integers(1, 20)), draw(st.integers(1, 9)), draw(st.integers(1, 5))
    return BlockSampler(rows, chunk, each * shards, shards, draw(st.integers(0, 9)), blocks), rows


@given(made=block_samplers(), epoch=st.integers(0, 20))
def test_every_epoch_of_blocks_has_every_sample_once(made: tuple[BlockSampler, Indices], epoch: int) -> None:
    sampler, rows = made
    assert sorted(sampler.take(epoch * len(rows), len(rows))) == list(range(len(rows)))


@given(made=block_samplers(), start=st.integers(0, 400), counts=st.lists(st.integers(0, 60), max_size=5))
def test_any_takes_of_blocks_in_a_row_equal_one_take(
    made: tuple[BlockSampler, Indices], start: int, counts: list[int]
) -> None:
    sampler, _ = made
    whole, parts, position = sampler.take(start, sum(counts)), [np.empty(0, np.int64)], start
    for count in counts:
        parts.append(sampler.take(position, count))
        position += count
    assert np.array_equal(np.concatenate(parts), whole)


@given(made=block_samplers(), epoch=st.integers(0, 5))
def test_the_windows_of_a_shard_follow_each_other(made: tuple[BlockSampler, Indices], epoch: int) -> None:
    """Along two epochs, `after` names the windows in the order in which the positions of a shard need them."""
    sampler, rows = made
    needed: dict[int, list[object]] = {}
    for window, start, _ in sampler.pieces(epoch * len(rows), 2 * len(rows)):
        known = needed.setdefault(window.shard, [])
        if not known or known[-1] != window:
            assert start == 0 or not known, "a window is used from its beginning"
            known.append(window)
    for windows in needed.values():
        assert windows[1:] == [sampler.after(window) for window in windows[:-1]]  # type: ignore[arg-type]
        assert len(set(windows)) == len(windows)


def test_a_window_is_of_whole_blocks_but_at_the_ends_of_a_segment() -> None:
    rows = np.arange(640)
    sampler = BlockSampler(rows, 10, 8, 2, 0, 5)
    for shard in (0, 1):
        windows = {window for window, _, _ in sampler.pieces(0, 640) if window.shard == shard}
        assert len(windows) == 7  # of 32 blocks, five at most
        for window in windows:
            blocks = sampler.samples(window) // 10
            assert len(np.unique(blocks)) in (4, 5)
            assert (np.bincount(blocks)[np.unique(blocks)] == 10).all()


def test_the_order_of_blocks_stays_the_same_from_version_to_version() -> None:
    sampler = BlockSampler(np.arange(8), 2, 4, 2, 3, 2)
    assert sampler.take(0, 16).tolist() == [5, 4, 7, 6, 1, 0, 3, 2, 1, 6, 4, 5, 7, 0, 2, 3]


def test_blocks_and_windows_are_shuffled_anew_in_every_epoch() -> None:
    sampler = BlockSampler(np.arange(100), 10, 4, 1, 0, 100)
    assert len({tuple(sampler.take(epoch * 100, 100)) for epoch in range(5)}) == 5


# how well it is mixed


def test_clumping_tells_a_shuffle_from_windows_and_from_no_shuffle() -> None:
    """64 blocks; 2 shards of windows of 8 blocks: half of the pairs of a batch come from one window,
    one in 8 of these from one block: 1/16 instead of 1/64."""
    count, chunk, batch = 64 * 128, 128, 64
    blocks = np.arange(count) // chunk
    assert clumping(Sampler(count, 0).take(0, count), blocks, batch) == pytest.approx(1, abs=0.1)
    assert clumping(np.arange(count), blocks, batch) == pytest.approx(64, rel=0.02)
    streamed = BlockSampler(np.arange(count), chunk, batch, 2, 0, 8).take(0, count)
    assert clumping(streamed, blocks, batch) == pytest.approx(4, rel=0.1)
    wide = BlockSampler(np.arange(count), chunk, batch, 2, 0, 32).take(0, count)
    assert clumping(wide, blocks, batch) == pytest.approx(1, abs=0.1)
