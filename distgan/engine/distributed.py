"""Sums over the virtual shards of a batch, the same to the last bit on any number of workers.

A batch is always V shards, dealt to W <= V processes. The shards are summed in a fixed binary tree; each
process computes the subtrees it owns, and only their roots travel. Floating-point addition is not
associative, so it is the fixed tree that makes the sum independent of W.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from distgan.monitoring.activity import Activity
from storage.errors import DistganError, ServiceError

Subtree = tuple[int, int]
"""Shards first .. last - 1."""


class PeerLost(ServiceError):
    """Another worker is gone: the group must begin again from the last checkpoint."""


@dataclass(frozen=True)
class Group:
    """The processes that train together.  rank: 0 .. size - 1.  activity: what this one is at."""

    rank: int = 0
    size: int = 1
    activity: Activity = field(default_factory=Activity, compare=False, repr=False)

    @property
    def leads(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def shards(self, count: int) -> range:
        """Which of `count` virtual shards are this process's."""
        return _dealt(self.rank, self.size, count)

    def first_decides(self, value: Tensor) -> Tensor:
        """The value of rank 0, on every rank."""
        if self.size > 1:
            self.collective(lambda: dist.broadcast(value, 0))
        return value

    def gather(self, value: Tensor) -> list[Tensor]:
        """The value of every rank, on every rank; it has one shape and type on all of them."""
        if self.size == 1:
            return [value]
        said = [torch.empty_like(value) for _ in range(self.size)]
        self.collective(lambda: dist.all_gather(said, value))
        return said

    def collective(self, run: Callable[[], object]) -> None:
        """Do what returns only when every rank has come.

        Raises PeerLost: one does not come.
        """
        try:
            with self.activity.collective():
                run()
        except DistganError:
            raise
        except RuntimeError as error:
            raise PeerLost(
                "another worker does not answer", str(error).splitlines()[0], "The group begins again by itself"
            ) from error


def _dealt(rank: int, size: int, count: int) -> range:
    return range(rank * count // size, (rank + 1) * count // size)


class ShardMean:
    """The mean over V virtual shards of one row of numbers per shard.

    mode: "exact" gives the same bits for every number of workers; "fast" is one all-reduce, equal up to
    the order of summation.
    """

    def __init__(self, group: Group, shards: int, mode: Literal["exact", "fast"]) -> None:
        assert 0 < group.size <= shards, "every worker needs a shard"
        self.group, self.count, self.mode = group, shards, mode
        self.owned = group.shards(shards)
        self.roots = [_subtrees(_dealt(rank, group.size, shards), 0, shards) for rank in range(group.size)]

    def __call__(self, row_of: Callable[[int], Tensor]) -> Tensor:
        """row_of(shard) computes the row of a shard of this process; all rows have one length."""
        if self.mode == "fast":
            total = row_of(self.owned[0])
            for shard in self.owned[1:]:
                total = total + row_of(shard)
            return self._divided(self._all_reduced(total))
        roots = {tree: _sum(row_of, *tree) for tree in self.roots[self.group.rank]}
        return self._divided(self._exchanged(roots))

    def _divided(self, total: Tensor) -> Tensor:
        return total if self.count == 1 else total / self.count

    def _exchanged(self, roots: dict[Subtree, Tensor]) -> Tensor:
        if self.group.size == 1:
            return _fold(roots, 0, self.count)
        most = max(len(trees) for trees in self.roots)
        if self.group.size == 2 and most == 1:
            (root,) = roots.values()
            return self._all_reduced(root)  # a + b = b + a, whatever the algorithm
        mine = torch.stack(list(roots.values()))
        padded = torch.cat([mine, mine.new_zeros(most - len(mine), mine.shape[1])])
        rows = self.group.gather(padded)
        return _fold(
            {tree: rows[rank][i] for rank, trees in enumerate(self.roots) for i, tree in enumerate(trees)},
            0,
            self.count,
        )

    def _all_reduced(self, row: Tensor) -> Tensor:
        if self.group.size > 1:
            self.group.collective(lambda: dist.all_reduce(row))
        return row


def _subtrees(owned: range, first: int, last: int) -> list[Subtree]:
    """The largest subtrees of the tree over first .. last - 1 that lie wholly in `owned`."""
    if owned.start <= first and last <= owned.stop:
        return [(first, last)]
    if last <= owned.start or owned.stop <= first:
        return []
    middle = (first + last) // 2
    return _subtrees(owned, first, middle) + _subtrees(owned, middle, last)


def _sum(row_of: Callable[[int], Tensor], first: int, last: int) -> Tensor:
    """Sum of a subtree; at most one row per level of the tree is alive at a time."""
    if last - first == 1:
        return row_of(first)
    middle = (first + last) // 2
    return _sum(row_of, first, middle) + _sum(row_of, middle, last)


def _fold(roots: dict[Subtree, Tensor], first: int, last: int) -> Tensor:
    """Finish the tree above the roots."""
    if (first, last) in roots:
        return roots[first, last]
    middle = (first + last) // 2
    return _fold(roots, first, middle) + _fold(roots, middle, last)
