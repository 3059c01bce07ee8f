"""Figures of microscopy: what is black and white, which colour a channel has, and that odd data make a figure too."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from distgan.plots import pictures
from distgan.plots.pictures import coloured, colours_of, composite, gallery, plain, plates, sheet, shrunk
from storage.errors import DiskError, RecipeError

RANDOM = np.random.default_rng(0)
RED, GREEN, BLUE = pictures.PALETTE[:3].tolist()


def mosaic(figure: Figure, axis: int = 0) -> NDArray[np.float32]:
    (shown,) = figure.axes[axis].images
    return np.asarray(shown.get_array())


def drawn(figure: Figure) -> None:
    figure.canvas.draw()


# values -> colours


def test_one_channel_is_grey_from_black_to_white() -> None:
    picture = composite(np.asarray([[[10, 20, 30, 40, 0]]]), [(10, 30)], colours_of(["x"]))
    assert np.allclose(picture[0], [[v] * 3 for v in (0, 0.5, 1, 1, 0)])


def test_channels_are_added_up_in_their_colours() -> None:
    image = np.asarray([[[1.0, 0.0, 1.0]], [[0.0, 1.0, 1.0]]])
    picture = composite(image, [(0, 1), (0, 1)], colours_of(["a", "b"]))
    assert np.allclose(picture[0], [RED, GREEN, [1, 1, 0]])


@pytest.mark.parametrize(
    ("channels", "colours"),
    [
        (["actin", "tubulin", "DNA"], [RED, GREEN, BLUE]),
        (["DAPI", "Tubulin", "Actin"], [BLUE, GREEN, RED]),
        (["a", "DAPI", "b"], [RED, BLUE, GREEN]),
        (["green", "red"], [GREEN, RED]),
        (["Red", "Green", "Blue"], np.eye(3).tolist()),
        (["only"], [[1, 1, 1]]),
    ],
)
def test_a_channel_has_the_colour_that_its_name_says(channels: list[str], colours: list[list[float]]) -> None:
    assert np.allclose(colours_of(channels), colours)


def test_any_number_of_channels_has_colours() -> None:
    found = colours_of([f"c{index}" for index in range(20)])
    assert found.shape == (20, 3)
    assert len(np.unique(found[:6], axis=0)) == 6


def test_a_colour_picture_keeps_its_hues() -> None:
    image = np.zeros((3, 20, 20), np.uint8)
    image[0], image[1], image[2] = 100, 50, 10  # no channel is stretched by itself
    picture = mosaic(gallery([("x", image, ("red", "green", "blue"))], "t"))
    assert np.allclose(picture, [1, 0.5, 0.1])


def test_values_that_are_no_numbers_are_black_or_white() -> None:
    image = np.asarray([[[np.nan, np.inf, -np.inf, 0.5]]], np.float32)
    assert composite(image, [(0, 1)], colours_of(["x"]))[0, :, 0].tolist() == [0, 1, 0, 0.5]


def test_a_mask_is_white_and_objects_have_colours() -> None:
    mask = np.asarray([[[0, 255], [255, 0]]], np.uint8)
    assert coloured(mask, 9)[0].tolist() == [[[0, 0, 0], [1, 1, 1]], [[1, 1, 1], [0, 0, 0]]]
    objects = np.asarray([[[0, 1], [2, 70_000]], [[0, 0], [0, 2]]], np.int32)
    first, second = coloured(objects, 9)
    assert first[0, 0].tolist() == [0, 0, 0]
    assert len(np.unique(first.reshape(4, 3), axis=0)) == 4
    assert np.array_equal(second[1, 1], first[1, 0]), "an object has one colour in all images"
    assert coloured(np.zeros((1, 2, 2), np.uint8), 9)[0].max() == 0


@pytest.mark.parametrize("shape", [(1, 40, 60), (2, 1000, 3), (1, 7, 5000), (3, 1, 1)])
def test_large_images_are_averaged_and_never_vanish(shape: tuple[int, int, int]) -> None:
    image = RANDOM.integers(0, 256, shape, np.uint8)
    small = shrunk(image, 20)
    assert max(small.shape[1:]) <= 20
    assert min(small.shape) >= 1
    assert small.mean() == pytest.approx(image.mean(), abs=12)


def test_an_average_is_one() -> None:
    assert shrunk(np.arange(16, dtype=np.uint8).reshape(1, 4, 4), 2).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]


# figures


def test_a_sheet_has_a_row_for_each_channel_and_label_image_and_their_mixture() -> None:
    images = RANDOM.integers(0, 4096, (5, 2, 32, 32), np.uint16)
    values = {name: images[:, index].ravel() for index, name in enumerate(("DNA", "actin"))}
    labels = {"DNA": RANDOM.integers(0, 9, (5, 32, 32))}
    figure = sheet(images, ("DNA", "actin"), labels, values, "title", [f"sample {n}" for n in range(5)], 0.5)
    above, below = figure.axes
    assert [label.get_text() for label in above.get_yticklabels()] == ["all", "DNA", "actin", "[DNA]"]
    assert [label.get_text() for label in above.get_xticklabels()] == [f"sample {n}" for n in range(5)]
    assert mosaic(figure).shape == (4 * 33 - 1, 5 * 33 - 1, 3)
    assert [text.get_text() for text in above.texts] == ["2 µm"]  # a quarter of 16 µm, or less
    (_, black), (left, right) = (line.get_xdata() for line in above.lines)
    assert right - left == pytest.approx(4)
    assert black == right
    assert below.get_xlim()[0] == pytest.approx(-0.5)
    assert sum(stairs.get_data().values.sum() for stairs in below.patches) == images.size
    drawn(figure)


def test_samples_of_one_picture_are_laid_out_in_lines() -> None:
    images = np.zeros((20, 1, 32, 32), np.uint8)
    images[9] = 200
    figure = sheet(images, ("x",), {}, {"x": images.ravel()}, "title", [""] * 20)
    picture = mosaic(figure)
    assert picture.shape == (3 * 33 - 1, 8 * 33 - 1, 3)
    assert (picture[33:65, 33:65] == 1).all()
    assert (picture[33:65, :32] == 0).all()
    assert (picture[66:, 4 * 33 :] == 1).all(), "where no sample is, the paper is white"
    drawn(figure)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((3, 1, 8, 8), np.uint8),
        np.full((3, 2, 8, 8), np.nan, np.float32),
        np.full((1, 1, 1, 1), -7, np.int64),
        RANDOM.normal(0, 1e-3, (2, 30, 8, 8)),
        np.full((2, 1, 4, 4), 1.7e308),
        np.asarray([-1.7e308, 1.7e308]).reshape(2, 1, 1, 1),
        RANDOM.integers(0, 2**63, (2, 1, 4, 4), np.uint64),
        RANDOM.integers(0, 255, (2, 1, 900, 4), np.uint8),
    ],
    ids=["black", "no numbers", "one pixel", "thirty channels", "huge", "from end to end", "uint64", "narrow"],
)
def test_odd_images_make_a_sheet(images: NDArray[np.generic], tmp_path: Path) -> None:
    channels = [f"_${index}$ \N{CJK UNIFIED IDEOGRAPH-65E5}" for index in range(images.shape[1])]
    values = {name: pictures.finite(images[:, index].ravel()) for index, name in enumerate(channels)}
    figure = sheet(images, channels, {}, values, "a$b \x1b", ["n$^"] * len(images))
    pictures.save(figure, tmp_path / "deep" / "odd.png")
    with Image.open(tmp_path / "deep" / "odd.png") as picture:
        assert picture.size[0] > 300


def test_a_gallery_shows_images_of_any_shape() -> None:
    images = [
        (f"n{count}\nuint8", RANDOM.integers(0, 256, (count, 5 * count, 9), np.uint8), [f"c{n}" for n in range(count)])
        for count in (1, 2, 3, 4, 5, 9, 1, 1, 1)
    ]
    figure = gallery(images, "title")
    assert [axis.get_title() for axis in figure.axes if axis.images] == [caption for caption, *_ in images]
    drawn(figure)


def test_wells_stand_at_their_places() -> None:
    images = {("P", "A", 1): np.zeros((1, 32, 32)), ("P", "AA", 10): np.ones((1, 32, 32))}
    figure = plates(images, {*images, ("P", "B", 1)}, ("x",), "title")
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["A", "B", "AA"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "10"]
    cells = mosaic(figure)[16::33, 16::33, 0]
    assert np.allclose(cells, [[0, 1], [0.9, 1], [1, 1]])  # read; not read; no such well; white because it is bright
    drawn(figure)


def test_plates_have_a_map_each() -> None:
    images = {(f"P{plate}", "A", column): RANDOM.random((2, 9, 12)) for plate in range(3) for column in (1, 2)}
    figure = plates(images, set(images), ("a", "b"), "title")
    assert [axis.get_title() for axis in figure.axes] == ["P0", "P1", "P2"]
    drawn(figure)


def test_long_names_keep_their_end_and_are_no_mathematics() -> None:
    assert plain("folder/name_0001.tif", 9) == "…0001.tif"
    assert plain("short", 9) == "short"
    assert plain("$x^2$\x1b[2J", 20) == r"\$x^2\$?[2J"


# files


@pytest.mark.parametrize("name", ["picture", "picture.zarr", "picture.npy"])
def test_a_suffix_that_is_no_picture_is_a_mistake_of_the_user(name: str) -> None:
    with pytest.raises(RecipeError, match="png"):
        pictures.check_suffix(Path(name))


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.pdf", "a.svg"])
def test_pictures_have_the_format_of_their_suffix(name: str, tmp_path: Path) -> None:
    pictures.check_suffix(Path(name))
    pictures.save(Figure(), tmp_path / name)
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[name[2:].lower()]
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError):
        pictures.save(Figure(), tmp_path / "file" / "a.png")
