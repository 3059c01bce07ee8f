"""State of virtual shards: kept by the rank that has the shard, joined and dealt out without a bit changed."""

from typing import Any

import pytest
import torch
from torch import Tensor

from distgan.engine.distributed import Group
from distgan.engine.shards import ShardStates
from storage.errors import DataError, InternalError

CPU = torch.device("cpu")
INITIAL = {
    "pool": torch.zeros(2, 3),
    "filled": torch.tensor(0),
    "half": torch.zeros(3, dtype=torch.bfloat16),
    "empty": torch.zeros(0, 4),
    "used": torch.zeros(5, dtype=torch.bool),
}


def drawn(shard: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(shard)
    return {
        "pool": torch.randn(3, 2, generator=random).T,  # not contiguous
        "filled": torch.tensor(shard),
        "half": torch.randn(3, generator=random).bfloat16(),
        "empty": torch.zeros(0, 4),
        "used": torch.rand(5, generator=random) > 0.5,
    }


class Around(Group):
    """A rank among others, whose rows are given."""

    def gather(self, value: Tensor) -> list[Tensor]:
        ROWS[self.rank] = value
        return [ROWS.get(rank, value) for rank in range(self.size)]


ROWS: dict[int, Tensor] = {}


@pytest.mark.parametrize(("workers", "later"), [(1, 4), (2, 3), (3, 1), (4, 2), (4, 6), (6, 1)])
def test_what_is_joined_is_dealt_out_again_to_any_number_of_ranks(workers: int, later: int) -> None:
    ROWS.clear()
    for rank in range(workers):
        states = ShardStates(INITIAL, Around(rank, workers), 6, CPU)
        states.replace({shard: drawn(shard) for shard in states.own})
        joined = states.collect()  # that of the last rank has all rows
    assert len(joined) == 6 * len(INITIAL)
    dealt: dict[int, dict[str, Tensor]] = {}
    for rank in range(later):
        states = ShardStates(INITIAL, Group(rank, later), 6, CPU)
        states.restore(joined)
        dealt |= states.own
    assert sorted(dealt) == list(range(6))
    for shard, state in dealt.items():
        for name, wanted in drawn(shard).items():
            assert state[name].dtype == wanted.dtype
            assert torch.equal(state[name], wanted)
            assert torch.equal(joined[f"shard.{shard}.{name}"], wanted)


def test_shards_begin_alike_and_share_no_memory() -> None:
    states = ShardStates(INITIAL, Group(), 2, CPU)
    states.own[0]["pool"] += 1
    assert not states.own[1]["pool"].any()
    assert not INITIAL["pool"].any()


def test_what_is_joined_and_what_is_restored_are_copies() -> None:
    states = ShardStates(INITIAL, Group(), 1, CPU)
    joined = states.collect()
    states.own[0]["pool"] += 1
    assert not joined["shard.0.pool"].any()
    states.restore(joined)
    states.own[0]["pool"] += 1
    assert not joined["shard.0.pool"].any()


def test_no_graph_is_kept() -> None:
    states = ShardStates({"pool": torch.zeros(2)}, Group(), 1, CPU)
    states.replace({0: {"pool": torch.ones(2, requires_grad=True) * 2}})
    assert not states.own[0]["pool"].requires_grad


@pytest.mark.parametrize(
    "state",
    [{}, {"pool": torch.zeros(3)}, {"pool": torch.zeros(2).double()}, {"pool": torch.zeros(2), "more": torch.zeros(1)}],
)
def test_another_form_than_was_declared_is_refused(state: dict[str, Any]) -> None:
    states = ShardStates({"pool": torch.zeros(2)}, Group(), 1, CPU)
    with pytest.raises(InternalError, match=r"float32 \[2\]"):
        states.replace({0: state})


@pytest.mark.parametrize(
    "state", [{}, {"shard.0.pool": torch.zeros(2)}, {f"shard.{v}.pool": torch.zeros(3) for v in (0, 1)}]
)
def test_a_checkpoint_without_the_state_of_a_shard_is_refused(state: dict[str, Tensor]) -> None:
    states = ShardStates({"pool": torch.zeros(2)}, Group(), 2, CPU)
    with pytest.raises(DataError, match="another"):
        states.restore(state)


@pytest.mark.parametrize("count", [1, 3])
def test_the_states_of_another_number_of_shards_are_refused(count: int) -> None:
    joined = ShardStates({"pool": torch.zeros(2)}, Group(), 2, CPU).collect()
    with pytest.raises(DataError, match="virtual shards"):
        ShardStates({"pool": torch.zeros(2)}, Group(), count, CPU).restore(joined)
