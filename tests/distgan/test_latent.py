"""Ways between codes."""

import math

import pytest
import torch

from distgan.inference.latent import lerp, slerp


def codes(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_line_is_shared_evenly() -> None:
    assert torch.equal(lerp(torch.zeros(2), torch.tensor([4.0, 8.0]), 0.25), torch.tensor([1.0, 2.0]))


def test_an_arc_begins_and_ends_at_the_codes_and_turns_evenly() -> None:
    start, end = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    torch.testing.assert_close(slerp(start, end, torch.tensor([0.0, 1.0])), torch.stack([start, end]))
    third = slerp(start, end, 1 / 3)
    torch.testing.assert_close(third, 2 * torch.tensor([math.cos(math.pi / 6), math.sin(math.pi / 6)]))


def test_an_arc_keeps_the_length_that_a_line_loses() -> None:
    start, end = codes(5, 100), codes(5, 100, seed=1)
    wanted = (start.norm(dim=1) + end.norm(dim=1)) / 2
    torch.testing.assert_close(slerp(start, end, 0.5).norm(dim=1), wanted)
    assert (lerp(start, end, 0.5).norm(dim=1) < 0.85 * wanted).all()


def test_an_arc_is_shoemakes_formula_for_codes_of_one_length() -> None:
    start, end = (code / code.norm() for code in (codes(8), codes(8, seed=1)))
    angle = torch.acos(start @ end)
    for t in (0.2, 0.7):
        wanted = (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / torch.sin(angle)
        torch.testing.assert_close(slerp(start, end, t), wanted)


def test_shares_broadcast_to_steps() -> None:
    start, end, shares = codes(3, 6), codes(3, 6, seed=1), torch.linspace(0, 1, 5)
    walk = slerp(start[:, None], end[:, None], shares)
    assert walk.shape == (3, 5, 6)
    torch.testing.assert_close(walk[1, 3], slerp(start[1], end[1], 0.75))


def test_codes_that_have_no_angle_are_joined_by_the_line() -> None:
    code = codes(7)
    torch.testing.assert_close(slerp(code, 3 * code, 0.5), 2 * code)
    torch.testing.assert_close(slerp(torch.zeros(7), code, 0.25), 0.25 * code)
    torch.testing.assert_close(slerp(code, torch.zeros(7), 0.25), 0.75 * code)
    assert torch.equal(slerp(torch.zeros(7), torch.zeros(7), 0.5), torch.zeros(7))
    assert slerp(torch.tensor([2.0]), torch.tensor([-4.0]), 0.5).tolist() == [-1]
    assert slerp(torch.zeros(3, 0), torch.zeros(3, 0), 0.5).shape == (3, 0)


@pytest.mark.parametrize("tilt", [0.0, 1e-12, 1e-9])
def test_opposite_codes_are_joined_by_half_a_circle(tilt: float) -> None:
    start = codes(7).double()
    end = -start + tilt * codes(7, seed=1)
    walk = slerp(start, end, torch.linspace(0, 1, 9))
    torch.testing.assert_close(walk.norm(dim=-1), start.norm().expand(9))
    torch.testing.assert_close(walk[-1], end, atol=1e-6, rtol=0)
    steps = walk.diff(dim=0).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(8))


def test_nearly_parallel_codes_lose_no_digits() -> None:
    start = codes(50)
    end = start + 1e-5 * codes(50, seed=1)
    torch.testing.assert_close(slerp(start, end, 0.5), lerp(start, end, 0.5), rtol=1e-6, atol=1e-7)


def test_the_type_stays() -> None:
    assert slerp(codes(4), codes(4, seed=1), 0.5).dtype == torch.float32
