"""The pool of earlier fakes."""

from collections.abc import Callable

import pytest
import torch

from distgan.families.tissue import from_pool, weighted_difference
from distgan.method import Batch, Step

SIZE = 5


def fakes(first: int, count: int = 4) -> torch.Tensor:
    """Images that are their number."""
    return torch.arange(first, first + count).float()[:, None, None, None].expand(-1, 1, 2, 2)


def stream(seed: int = 0, repeat: int = 0) -> Callable[[int, dict[str, torch.Tensor]], list[float]]:
    def take(seen: int, state: dict[str, torch.Tensor]) -> list[float]:
        step = Step(Batch(torch.zeros(4, 1, 2, 2)), seen, 0, repeat, seed, state)
        return from_pool(step, "critic", fakes(seen), SIZE)[:, 0, 0, 0].tolist()

    return take


def empty() -> dict[str, torch.Tensor]:
    return {"critic pool": torch.zeros(SIZE, 1, 2, 2), "critic filled": torch.tensor(0)}


def test_a_pool_is_filled_first_and_then_half_of_the_fakes_are_old_ones() -> None:
    state, take = empty(), stream()
    assert take(0, state) == [0, 1, 2, 3]
    assert take(4, state)[0] == 4
    assert state["critic filled"] == SIZE
    shown = [take(seen, state) for seen in range(8, 4008, 4)]
    exchanged = sum(fake != 8 + number for number, fake in enumerate(fake for some in shown for fake in some))
    assert 0.45 < exchanged / 4000 < 0.55


def test_no_fake_is_lost_or_twice_there() -> None:
    state, take = empty(), stream()
    shown = [fake for seen in range(0, 400, 4) for fake in take(seen, state)]
    kept = state["critic pool"][:, 0, 0, 0].tolist()
    assert len(set(kept)) == SIZE
    later = shown[SIZE:]  # those that filled the pool were shown, too
    assert sorted(later + kept) == sorted([*range(5), *range(5, 400)])


def test_a_pool_is_a_function_of_its_stream_and_is_not_written_into() -> None:
    first, second, state = empty(), empty(), empty()
    a = [stream()(seen, first) for seen in range(0, 80, 4)]
    b = [stream()(seen, second) for seen in range(0, 80, 4)]
    other = [stream(seed=1)(seen, empty()) for seen in range(0, 80, 4)]
    assert a == b
    assert a != other
    before = {name: value.clone() for name, value in state.items()}
    held = dict(state)
    stream()(0, state)
    assert all(torch.equal(held[name], value) for name, value in before.items())


def test_without_a_pool_fakes_are_as_they_are() -> None:
    images = fakes(0)
    assert from_pool(Step(Batch(images), 0), "critic", images, 0) is images


def test_of_several_structures_the_last_one_counts() -> None:
    labels = torch.tensor([[[[1.0, 1.0, -1.0, -1.0]], [[1.0, -1.0, 1.0, -1.0]]]])
    made, real = torch.zeros(1, 1, 1, 4), torch.ones(1, 1, 1, 4)
    assert weighted_difference(made, real, labels, (2.0, 4.0)).item() == pytest.approx((4 + 2 + 4 + 1) / 4)
    assert weighted_difference(made, real, labels, ()).item() == pytest.approx(1)
