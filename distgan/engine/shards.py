"""What a method keeps per virtual shard: tensors of which a mean says nothing, such as a pool of old fakes.

Every rank has those of its own shards. They are joined when the state is collected, and dealt out again when it is
restored, to however many ranks there are then.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from distgan.engine.distributed import Group
from distgan.engine.state import State
from storage.errors import DataError, InternalError


class ShardStates:
    """The tensors of this rank's shards.  initial: of every shard, by name.  count: virtual shards in all."""

    def __init__(self, initial: Mapping[str, Tensor], group: Group, count: int, device: torch.device) -> None:
        self.initial = {name: value.detach().to(device) for name, value in sorted(initial.items())}
        self.group = group
        self.count = count
        self.own = {shard: _copies(self.initial) for shard in group.shards(count)}

    def replace(self, states: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Take what the losses made of the states of some shards.

        Raises InternalError: a method gave other names, shapes or types than it declared.
        """
        for shard, state in states.items():
            if _form(state) != _form(self.initial):
                raise InternalError(
                    "a method changed the form of its shard state",
                    f"{_form(state)}, and it declared {_form(self.initial)}",
                    "Assign tensors of the declared names, shapes and types in step.state",
                )
            self.own[shard] = {name: value.detach() for name, value in state.items()}

    def collect(self) -> State:
        """shard.V.NAME of all shards, on every rank; every rank must call it."""
        if not self.initial:
            return {}
        mine = torch.stack([torch.cat([_bytes(state[name]) for name in self.initial]) for state in self.own.values()])
        dealt = [len(Group(rank, self.group.size).shards(self.count)) for rank in range(self.group.size)]
        padded = torch.cat([mine, mine.new_zeros(max(dealt) - len(mine), mine.shape[1])])
        said = self.group.gather(padded)
        rows = [row for rank, count in enumerate(dealt) for row in said[rank][:count]]
        return {f"shard.{shard}.{name}": value for shard, row in enumerate(rows) for name, value in self._parts(row)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take this rank's shards from a collected state.

        Raises DataError: it has not the tensors, or not the shapes, that the method declares.
        """
        kept = {int(name.split(".")[1]) for name in state if name.startswith("shard.")}
        if self.initial and len(kept) != self.count:
            raise DataError(
                "the checkpoint is of another number of virtual shards",
                f"it has the states of {len(kept)}, and the run has {self.count}",
                "Set run.virtual_shards as it was, or give the recipe it came from",
            )
        for shard in self.own:
            found = {name: state[key] for name in self.initial if (key := f"shard.{shard}.{name}") in state}
            if _form(found) != _form(self.initial):
                raise DataError(
                    "the checkpoint is of another method",
                    f"for shard {shard} it has {_form(found)}, and the method keeps {_form(self.initial)}",
                    "Give the recipe it came from",
                )
            self.own[shard] = {name: value.to(self.initial[name].device, copy=True) for name, value in found.items()}

    def _parts(self, row: Tensor) -> list[tuple[str, Tensor]]:
        parts = row.split([value.nbytes for value in self.initial.values()])
        return [
            (name, part.clone().view(like.dtype).view(like.shape))
            for (name, like), part in zip(self.initial.items(), parts, strict=True)
        ]


def _copies(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


def _bytes(value: Tensor) -> Tensor:
    return value.reshape(-1).view(torch.uint8)


def _form(state: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}" for name, value in state.items()}
