"""Many problems are minimised at once, each as if it were alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distgan.inference.lbfgs import minimise

COUNT, SIZE = 6, 12


def bowls(count: int = COUNT) -> tuple[Tensor, Tensor]:
    """Quadratic problems of condition numbers up to 1000, and their lowest points."""
    random = torch.Generator().manual_seed(0)
    turns = torch.linalg.qr(torch.randn(count, SIZE, SIZE, generator=random, dtype=torch.float64))[0]
    curvatures = torch.logspace(0, 3, SIZE, dtype=torch.float64) * torch.linspace(1, 9, count)[:, None]
    return turns @ torch.diag_embed(curvatures) @ turns.mT, torch.randn(count, SIZE, generator=random).double()


def quadratic(matrices: Tensor, lowest: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda points: 0.5 * torch.einsum("nz,nzy,ny->n", points - lowest, matrices, points - lowest)


def rosenbrock(points: Tensor) -> Tensor:
    x, y = points.unbind(1)
    return (1 - x).square() + 100 * (y - x.square()).square()


def test_quadratic_problems_are_solved() -> None:
    matrices, lowest = bowls()
    found = minimise(quadratic(matrices, lowest), torch.zeros(COUNT, SIZE).double(), 300)
    torch.testing.assert_close(found.points, lowest, atol=1e-4, rtol=0)
    assert found.evaluations <= 300


def test_a_bent_valley_is_followed() -> None:
    start = torch.tensor([[-1.2, 1.0], [3.0, -2.0], [0.0, 0.0]]).double()
    found = minimise(rosenbrock, start, 300)
    torch.testing.assert_close(found.points, torch.ones(3, 2).double(), atol=1e-5, rtol=0)


def test_a_problem_is_solved_as_if_it_were_alone() -> None:
    matrices, lowest = bowls()
    start = torch.zeros(COUNT, SIZE).double()
    together = minimise(quadratic(matrices, lowest), start, 25)
    for one in range(COUNT):
        part = slice(one, one + 1)
        alone = minimise(quadratic(matrices[part], lowest[part]), start[part], 25)
        torch.testing.assert_close(together.points[part], alone.points)


def test_values_never_rise() -> None:
    matrices, lowest = bowls()
    function = quadratic(matrices, lowest)
    start = torch.zeros(COUNT, SIZE).double()
    values = torch.stack([minimise(function, start, count).values for count in (1, 2, 5, 9, 30, 80)])
    assert (values.diff(dim=0) <= 0).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_step_to_no_number_is_taken_back(bad: float) -> None:
    def walled(points: Tensor) -> Tensor:
        values = (points - 0.9).square().sum(1)
        return torch.where((points > 1).any(1), bad, values)

    found = minimise(walled, torch.tensor([[-30.0], [0.5]]), 60)
    torch.testing.assert_close(found.points, torch.full((2, 1), 0.9), atol=1e-3, rtol=0)


def test_the_lowest_point_is_where_it_ends() -> None:
    found = minimise(lambda points: points.square().sum(1), torch.zeros(3, 2), 50)
    assert found.evaluations == 1
    assert found.ended.all()
