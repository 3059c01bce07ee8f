"""Figures by their arrays, labels and units."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from distgan.plots.image_plots import distance_curve, grid, montage, side_by_side, spaced


def flat(*values: float, count: int = 1) -> np.ndarray:
    """Images of 2 x 3 with one value per channel."""
    return np.broadcast_to(np.reshape(values, (1, -1, 1, 1)), (count, len(values), 2, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("count", "columns", "gap", "height", "width"),
    [(1, 1, 2, 2, 3), (4, 2, 1, 5, 7), (5, 2, 1, 8, 7), (3, 8, 2, 2, 38), (8, 8, 0, 2, 24)],
)
def test_a_montage_has_room_for_all_images_and_the_gaps(
    count: int, columns: int, gap: int, height: int, width: int
) -> None:
    assert montage(flat(0.0, count=count), columns, gap).shape == (height, width, 3)


def test_images_are_laid_out_in_rows_with_white_between() -> None:
    images = np.stack([np.full((1, 2, 3), value, np.float32) for value in (-1, 0, -0.5)])
    found = montage(images, columns=2, gap=1)[..., 0]
    assert np.array_equal(
        found,
        [
            [0, 0, 0, 1, 0.5, 0.5, 0.5],
            [0, 0, 0, 1, 0.5, 0.5, 0.5],
            [1, 1, 1, 1, 1, 1, 1],
            [0.25, 0.25, 0.25, 1, 1, 1, 1],
            [0.25, 0.25, 0.25, 1, 1, 1, 1],
        ],
    )


@pytest.mark.parametrize(
    ("channels", "colour"),
    [
        ((0.0,), (0.5, 0.5, 0.5)),
        ((1.0, 0.0), (1.0, 0.5, 0.0)),
        ((1.0, 0.0, -1.0), (1.0, 0.5, 0.0)),
        ((-1.0, 0.0, 1.0, 1.0), (0.0, 0.5, 1.0)),
        ((7.0, -7.0, 0.0), (1.0, 0.0, 0.5)),
    ],
    ids=["grey", "red and green", "three", "the first three of four", "outside the range"],
)
def test_channels_become_colours(channels: tuple[float, ...], colour: tuple[float, ...]) -> None:
    assert montage(flat(*channels))[0, 0].tolist() == pytest.approx(colour)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sets_of_images_stand_side_by_side_under_their_titles(channels: int) -> None:
    figure = side_by_side({"one": flat(*[0.0] * channels, count=9), "other": flat(*[0.5] * channels)})
    assert isinstance(figure, Figure)
    assert [axis.get_title() for axis in figure.axes] == ["one", "other"]
    assert figure.axes[0].images[0].get_array().shape[2] == 3
    figure.canvas.draw()


def test_a_grid_is_one_set() -> None:
    assert [axis.get_title() for axis in grid(flat(0.0), "title").axes] == ["title"]


def test_the_axes_of_a_curve_have_units_and_its_lines_their_data() -> None:
    figure = distance_curve([0, 64], [1.0, 0.5], [(0.9, 1.1), (0.4, 0.6)], {"floor": 0.01, "untrained": 1.0})
    (axis,) = figure.axes
    for label in (axis.get_xlabel(), axis.get_ylabel()):
        assert "[" in label
        assert "]" in label
    curve, *levels = axis.lines
    assert curve.get_xydata().tolist() == [[0, 1.0], [64, 0.5]]
    assert [(line.get_label(), line.get_ydata()[0]) for line in levels] == [("floor", 0.01), ("untrained", 1.0)]
    assert [text.get_text() for text in axis.get_legend().get_texts()][1:] == ["floor", "untrained"]
    figure.canvas.draw()


def test_ticks_that_would_stand_on_one_another_have_no_names() -> None:
    assert spaced([38, 94, 753, 800, 1694, 1883]) == ["38", "94", "", "800", "", "1,883"]
    assert spaced([100]) == ["100"]
