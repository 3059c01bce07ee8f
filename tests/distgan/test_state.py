"""The state of training: nothing of it can be missing, and its digest sees every bit."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from distgan.engine.distributed import Group
from distgan.engine.state import State, checksum, digest, first_nonfinite
from distgan.engine.trainer import Trainer
from storage.errors import DataError, InternalError

MakeTrainer = Callable[..., Trainer]
COUNTERS = {"images_seen": 8, "steps": 1}


@pytest.fixture
def state() -> State:
    return {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3], [4]]), "c": torch.tensor(5.0)}


def test_equal_states_have_equal_digests_in_any_order(state: State) -> None:
    again = {name: value.clone() for name, value in reversed(state.items())}
    assert digest(again, dict(reversed(COUNTERS.items()))) == digest(state, COUNTERS)


@pytest.mark.parametrize(
    "changed",
    [
        {"a": torch.tensor([1.0, 2.0000002])},
        {"a": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"a": torch.tensor([[1.0, 2.0]])},
        {"b": torch.tensor([[3], [5]])},
        {"c": torch.tensor(-5.0)},
        {"d": torch.tensor(0.0)},
        {"d": torch.empty(0)},
    ],
)
def test_any_other_tensor_is_another_digest(state: State, changed: State) -> None:
    assert digest(state | changed, COUNTERS) != digest(state, COUNTERS)


def test_minus_zero_is_told_from_zero() -> None:
    assert digest({"a": torch.tensor(0.0)}, {}) != digest({"a": torch.tensor(-0.0)}, {})


def test_names_and_counters_are_part_of_the_digest(state: State) -> None:
    renamed = {name.upper(): value for name, value in state.items()}
    swapped = state | {"a": state["c"], "c": state["a"]}
    found = {
        digest(state, COUNTERS),
        digest(renamed, COUNTERS),
        digest(swapped, COUNTERS),
        digest(state, COUNTERS | {"steps": 2}),
        digest(state, {"images_seen": 8}),
        digest(state, {"images_seen": 8, "step": 1}),
    }
    assert len(found) == 6


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_tensor_that_is_not_finite_is_named(state: State, bad: float) -> None:
    assert first_nonfinite(state) is None
    state["a"][1] = bad
    assert first_nonfinite(state) == "a"


# what if something were not saved


@pytest.fixture
def trained(tables: dict[str, Any], make_trainer: MakeTrainer) -> Trainer:
    """Two steps of a critic with batch normalisation, which has all classes of tensors."""
    trainer = make_trainer(tables | {"method": tables["method"] | {"critic_norm": "batch"}})
    trainer.step()
    trainer.step()
    return trainer


def fresh(trainer: Trainer) -> Trainer:
    """As a new process has it: other weights, to be overwritten."""
    torch.manual_seed(99)
    again = Trainer(
        trainer.config, type(trainer.method)(trainer.config.method, trainer.method.sample), trainer.feed, trainer.group
    )
    assert again.digest() != trainer.digest()
    return again


def test_a_whole_state_is_restored_whole(trained: Trainer) -> None:
    again = fresh(trained)
    again.restore(trained.collect(), trained.steps)
    assert again.digest() == trained.digest()
    again.step()
    trained.step()
    assert again.digest() == trained.digest()


def test_a_restored_state_is_a_copy(trained: Trainer) -> None:
    state, again = trained.collect(), fresh(trained)
    before = digest(state, {})
    again.restore(state, trained.steps)
    again.step()
    assert digest(state, {}) == before


CLASSES = [
    r"method\.critic\..*",
    r"method\.generator\..*",
    r"average\.generator\..*",
    r"method\.critic\.convolutions\.1\.running_mean",
    r"method\.generator\.dense\.1\.num_batches_tracked",
    r"average\.generator\.dense\.1\.running_var",
    *(
        rf"optimizer\.{network}\..*\.{key}"
        for network in ("critic", "generator")
        for key in ("exp_avg", "exp_avg_sq", "step")
    ),
]


@pytest.mark.parametrize("missing", CLASSES)
def test_a_state_without_it_is_refused_or_found_to_differ(trained: Trainer, missing: str) -> None:
    whole = trained.collect()
    state = {name: value for name, value in whole.items() if not re.fullmatch(missing, name)}
    assert 0 < len(state) < len(whole)
    again = fresh(trained)
    try:
        again.restore(state, trained.steps)
    except DataError:
        return
    assert again.digest() != trained.digest()


def test_every_tensor_of_a_state_belongs_to_a_class_that_is_tried_above(trained: Trainer) -> None:
    assert all(any(re.fullmatch(one, name) for one in CLASSES) for name in trained.collect())


def test_a_lost_step_counter_is_found_to_differ(trained: Trainer) -> None:
    again = fresh(trained)
    again.restore(trained.collect(), trained.steps - 1)
    assert again.digest() != trained.digest()


def test_a_state_of_other_networks_is_refused(
    trained: Trainer, tables: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    wider = make_trainer(tables | {"method": tables["method"] | {"width": 5}})
    with pytest.raises(DataError, match="other networks"):
        wider.restore(trained.collect(), 2)


# the sum by which ranks are compared


def checked(trainer: Trainer) -> int:
    return int(checksum(trainer._modules(), trainer._owned_optimizers(), trainer.feed.device))


def test_equal_states_have_equal_sums(trained: Trainer) -> None:
    again = fresh(trained)
    assert checked(again) != checked(trained)
    again.restore(trained.collect(), trained.steps)
    assert checked(again) == checked(trained)


@pytest.mark.parametrize("bit", [0, 22, 31])
def test_the_sum_sees_a_bit_of_any_tensor_at_its_first_and_last_place(trained: Trainer, bit: int) -> None:
    tensors = [*trained.method.state_dict().values(), *trained.average.generator.state_dict().values()]
    tensors += [
        value for one in trained.optimizers.values() for memory in one.state.values() for value in memory.values()
    ]
    found = {before := checked(trained)}
    count = 1
    for value in tensors:
        words = value.detach().reshape(-1).view(torch.int32)
        for place in {0, len(words) - 1}:
            words[place] ^= -(2**31) if bit == 31 else 1 << bit
            found.add(checked(trained))
            words[place] ^= -(2**31) if bit == 31 else 1 << bit
            count += 1
    assert checked(trained) == before
    assert len(found) == count


def test_ranks_that_have_come_apart_are_named(trained: Trainer) -> None:
    trained.check_ranks()

    class Others(Group):
        def gather(self, value: torch.Tensor) -> list[torch.Tensor]:
            return [value, value + 1, value, value - 1]

    trained.group = Others(0, 4)
    with pytest.raises(InternalError, match=r"rank 1, 3 are not those of rank 0 after 16 images"):
        trained.check_ranks()
