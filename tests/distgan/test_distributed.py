"""Sums over virtual shards; the processes are threads here, and the collectives pass rows between them."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from torch import Tensor

from distgan.engine import distributed
from distgan.engine.distributed import Group, PeerLost, ShardMean
from storage.errors import DataError

GROUPS = [(workers, shards) for shards in range(1, 9) for workers in range(1, shards + 1)]


class Room:
    """What torch.distributed is to processes, for as many threads."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=20)
        self.size = size
        self.said: dict[int, Tensor] = {}
        self.place = threading.local()

    def all_gather(self, rows: list[Tensor], mine: Tensor) -> None:
        for row, said in zip(rows, self._exchange(mine), strict=True):
            row.copy_(said)

    def all_reduce(self, row: Tensor) -> None:
        row.copy_(sum(self._exchange(row), torch.zeros_like(row)))

    def _exchange(self, mine: Tensor) -> Iterator[Tensor]:
        self.said[self.place.rank] = mine.clone()
        self.barrier.wait()
        said = [self.said[rank] for rank in range(self.size)]
        self.barrier.wait()
        return iter(said)


def mean(
    monkeypatch: pytest.MonkeyPatch, workers: int, shards: int, row: Callable[[int], Tensor], mode: str = "exact"
) -> list[Tensor]:
    """The mean as each worker finds it."""
    room = Room(workers)
    monkeypatch.setattr(distributed, "dist", room)

    def one(rank: int) -> Tensor:
        room.place.rank = rank
        return ShardMean(Group(rank, workers), shards, mode)(row)  # type: ignore[arg-type]

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, range(workers)))


def row(seed: int, shard: int) -> Tensor:
    """Numbers of such different sizes that their sum depends on the order."""
    random = torch.Generator().manual_seed(1000 * seed + shard)
    return torch.randn(50, generator=random) * 10.0 ** torch.randint(-6, 7, (50,), generator=random)


@pytest.mark.parametrize(("workers", "shards"), GROUPS)
def test_the_mean_is_the_same_however_the_shards_are_dealt(
    monkeypatch: pytest.MonkeyPatch, workers: int, shards: int
) -> None:
    for seed in range(3):
        (alone,) = mean(monkeypatch, 1, shards, partial(row, seed))
        for found in mean(monkeypatch, workers, shards, partial(row, seed)):
            assert torch.equal(found, alone)


@pytest.mark.parametrize("shards", [3, 4, 5, 8])
def test_the_rows_used_here_tell_orders_of_summation_apart(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    (tree,) = mean(monkeypatch, 1, shards, partial(row, 0))
    one_by_one = sum((row(0, shard) for shard in range(shards)), torch.zeros(50)) / shards
    assert not torch.equal(tree, one_by_one)
    torch.testing.assert_close(tree, one_by_one, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("mode", ["exact", "fast"])
@pytest.mark.parametrize(("workers", "shards"), [(1, 1), (2, 3), (2, 4), (3, 4), (3, 8)])
def test_each_shard_is_computed_once_and_counts_the_same(
    monkeypatch: pytest.MonkeyPatch, workers: int, shards: int, mode: str
) -> None:
    computed: list[int] = []

    def one_hot(shard: int) -> Tensor:
        computed.append(shard)
        return torch.eye(shards)[shard].clone()

    for found in mean(monkeypatch, workers, shards, one_hot, mode):
        assert torch.equal(found, torch.full((shards,), 1 / shards))
    assert sorted(computed) == list(range(shards))


@pytest.mark.parametrize(("workers", "shards"), GROUPS)
def test_every_worker_is_dealt_shards_and_every_shard_a_worker(workers: int, shards: int) -> None:
    dealt = [Group(rank, workers).shards(shards) for rank in range(workers)]
    assert all(dealt)
    assert [shard for one in dealt for shard in one] == list(range(shards))


def test_only_the_first_worker_leads() -> None:
    assert [Group(rank, 3).leads for rank in range(3)] == [True, False, False]


def test_a_worker_alone_decides_without_asking() -> None:
    assert Group().first_decides(torch.tensor(7)).item() == 7


def test_a_broken_connection_is_a_lost_peer_and_other_errors_stay_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors: list[Exception] = [RuntimeError("Connection reset by peer\nlong trace"), DataError("a", "b", "c")]

    def broken(value: Tensor, source: int) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(distributed.dist, "broadcast", broken)
    with pytest.raises(PeerLost) as caught:
        Group(0, 2).first_decides(torch.tensor(0))
    assert caught.value.found == "Connection reset by peer"
    with pytest.raises(DataError):
        Group(0, 2).first_decides(torch.tensor(0))


@pytest.mark.parametrize("workers", [1, 3])
def test_what_every_worker_says_is_told_to_every_worker(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    room = Room(workers)
    monkeypatch.setattr(distributed, "dist", room)

    def one(rank: int) -> list[int]:
        room.place.rank = rank
        return [int(value) for value in Group(rank, workers).gather(torch.tensor(10 + rank))]

    with ThreadPoolExecutor(workers) as pool:
        assert list(pool.map(one, range(workers))) == [list(range(10, 10 + workers))] * workers
