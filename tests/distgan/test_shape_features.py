"""Single cells and the numbers that describe them: planted cells, and what must not change a number."""

import numpy as np
import pytest

from distgan.metrics.cells_shape import (
    EDGES,
    Cell,
    Mask,
    Population,
    chi_squared,
    inner,
    population,
    single_cells,
)
from distgan.metrics.shape_features import COUNTS, NAMES, shape_features, zernike
from distgan.metrics.texture import haralick


def discs(*circles: tuple[float, float, float], edge: int = 120) -> Mask:
    y, x = np.mgrid[:edge, :edge]
    found: Mask = np.any([np.hypot(y - cy, x - cx) < radius for cy, cx, radius in circles], 0)
    return found


@pytest.fixture
def tissue() -> tuple[Mask, Mask]:
    """A grid of nine cells of which one is inside; a mitochondrion in it, and one in a cell at the border."""
    membranes = np.zeros((120, 120), np.bool_)
    for wall in (39, 79):
        membranes[wall : wall + 3] = membranes[:, wall : wall + 3] = True
    return membranes, discs((60, 60, 8), (20, 20, 6))


def cell_of(turned: int = 0, mirrored: bool = False, moved: int = 0) -> Cell:
    cell, mitochondria = discs((50, 50, 30), (75, 60, 20)), discs((45, 55, 8), (75, 62, 5))
    masks = [np.rot90(one[:, ::-1] if mirrored else one, turned) for one in (cell, mitochondria)]
    return Cell(*(np.pad(one, ((moved, 0), (0, moved))) for one in masks))


def test_the_cell_inside_is_found_and_no_other(tissue: tuple[Mask, Mask]) -> None:
    cells = inner(tissue[0], 2, 16)
    assert set(np.unique(cells)) == {0, 5} or len(np.unique(cells)) == 2
    (one,) = single_cells(*tissue, closing=2, smallest=16, least=16)
    assert one.mitochondria.sum() == tissue[1][40:80, 40:80].sum()
    side = 37 - 2  # widened by two, and given back one
    assert abs(one.cell.sum() - side**2) < 0.02 * side**2
    assert not single_cells(*tissue, closing=2, smallest=16, least=1000)
    assert not single_cells(*tissue, closing=2, smallest=5000, least=16)


def test_a_gap_in_a_wall_is_closed(tissue: tuple[Mask, Mask]) -> None:
    tissue[0][39:42, 58:61] = False
    assert not single_cells(*tissue, closing=0, smallest=16, least=16)
    assert len(single_cells(*tissue, closing=2, smallest=16, least=16)) == 1


def test_statistics_of_planted_tissue(tissue: tuple[Mask, Mask]) -> None:
    found = population([tissue, tissue], 2, 16, 16)
    means = found.means()
    assert means["mitochondrion size"] == pytest.approx((16 + 12) / 2, rel=0.05)
    assert means["cell size"] == pytest.approx(35 * 2 / np.sqrt(np.pi), rel=0.02)
    assert means["roundness"] > 0.9
    assert means["mitochondria per cell"] == 2


def test_chi_squared_is_none_of_equals_and_one_of_strangers() -> None:
    def of(size: float) -> Population:
        return Population({name: np.full(9, size) for name in EDGES}, 1.0)

    assert set(chi_squared(of(0.4), of(0.4)).values()) == {0.0}
    assert chi_squared(of(20.0), of(100.0))["cell size"] == 1
    half = Population({name: np.asarray([20.0, 100.0]) for name in EDGES}, 1.0)
    assert chi_squared(of(20.0), half)["cell size"] == pytest.approx(0.5 * (0.25 / 1.5 + 0.5))
    none = Population({name: np.empty(0) for name in EDGES}, float("nan"))
    assert np.isnan(chi_squared(of(1.0), none)["roundness"])
    assert np.isnan(none.means()["cell size"])


def test_there_are_89_numbers_and_all_are_finite() -> None:
    assert len(NAMES) == sum(COUNTS.values()) == 89
    for one in (cell_of(), Cell(np.pad(np.ones((1, 1), np.bool_), 1), np.zeros((3, 3), np.bool_))):
        assert np.isfinite(shape_features(one)).all()
    assert np.ptp(shape_features(cell_of())) > 1


def test_turning_mirroring_and_moving_change_nothing_but_rounding() -> None:
    still = dict(zip(NAMES, shape_features(cell_of()), strict=True))
    for other in (cell_of(1), cell_of(2, mirrored=True), cell_of(0, moved=9)):
        found = dict(zip(NAMES, shape_features(other), strict=True))
        for name in NAMES:
            if not name.startswith(("skeleton", "edge 2", "edge 3", "edge 4")):  # ties, and bins of angles
                assert found[name] == pytest.approx(still[name], rel=1e-6, abs=1e-9), name


def test_zernike_moments_of_a_disc_are_those_of_a_constant() -> None:
    disc = discs((60, 60, 50))
    found = zernike(disc.astype(float), disc)
    assert len(found) == COUNTS["zernike"]
    assert found[0] == pytest.approx(1 / np.pi)
    assert found[1:].max() < 0.02


def test_zernike_moments_find_their_own_polynomial() -> None:
    """Z_31: it alone, beside the constant, is in 1 + R_31 cos(theta)."""
    disc = discs((60, 60, 55))
    y, x = np.mgrid[:120, :120] - 60
    rho, theta = np.hypot(y, x) / 55, np.arctan2(y, x)
    found = zernike(1 + 0.5 * (3 * rho**3 - 2 * rho) * np.cos(theta), disc)
    orders = [(n, order) for n in range(13) for order in range(n % 2, n + 1, 2)]
    assert found[orders.index((3, 1))] == pytest.approx(0.25 / np.pi, rel=0.1)
    others = [value for value, of in zip(found, orders, strict=True) if of not in ((0, 0), (3, 1))]
    assert max(others) < 0.02


def test_haralick_numbers_of_a_picture_of_one_value_and_of_stripes() -> None:
    flat = haralick(np.ones((9, 9), np.uint8), 2)
    assert flat[0] == 1
    assert flat[[1, 3, 8]].tolist() == [0, 0, 0]
    stripes = np.ones((64, 64), np.uint8)
    stripes[::2] = 2
    # Three of four directions cross the stripes at every step, one never does.
    assert haralick(stripes, 2)[1] == pytest.approx(0.75, abs=0.02)
