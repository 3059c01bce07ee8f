"""Which files make one image: channels, planes, times and label images by what is said of them."""

import re
from pathlib import Path

import pytest

from storage.assemble import Faulty, Image, Source, assemble
from storage.errors import DataError, RecipeError
from storage.images import ImageFacts
from storage.layout import Layout, Value

PLANE = (1, 1, 1, 8, 9)
PLAIN = Layout()


def source(file: str, shape: tuple[int, int, int, int, int] = PLANE, dtype: str = "uint8", **said: Value) -> Source:
    number = int(file.partition("#")[2] or 0)
    names = tuple(f"channel{index}" for index in range(shape[1]))
    return Source(Path(file), file, ImageFacts(shape, shape, dtype, dtype, names, (None, None, None), number), said)


def put_together(*sources: Source, layout: Layout = PLAIN) -> tuple[list[Image], list[Faulty]]:
    return assemble(sources, layout)


def one_of(*sources: Source, layout: Layout = PLAIN) -> Image:
    (image,), faulty = assemble(sources, layout)
    assert faulty == []
    return image


def corners(image: Image) -> dict[str, tuple[int, ...]]:
    return {piece.source.file: piece.corner for piece in image.pieces}


def test_without_a_word_of_its_place_every_file_is_an_image() -> None:
    images, faulty = put_together(source("a"), source("b", embryo="x"), source("c", embryo="x"), source("c#1"))
    assert [image.file for image in images] == ["a", "b", "c", "c#1"]
    assert [image.metadata for image in images] == [{}, {"embryo": "x"}, {"embryo": "x"}, {}]
    assert faulty == []


def test_files_that_differ_in_place_only_make_one_image() -> None:
    places = [
        ("b", 2, 9),
        ("a", 1, 9),
        ("b", 1, 9),
        ("a", 2, 9),
        ("a", 1, 10),
        ("a", 2, 10),
        ("b", 1, 10),
        ("b", 2, 10),
    ]
    files = [source(f"{c}{z}{t}", channel=c, z=z, t=t, well="B02") for c, z, t in places]
    image = one_of(*files)
    assert image.shape == (2, 2, 2, 8, 9)
    assert image.channels == ("a", "b")
    assert image.metadata == {"well": "B02"}
    assert corners(image) == {f"{c}{z}{t}": (t - 9, "ab".index(c), z - 1, 0, 0) for c, z, t in places}


def test_images_come_in_the_order_of_their_first_files() -> None:
    files = [
        source("1", well=1),
        source("2", well=2, channel="a"),
        source("3", well=1),
        source("4", well=2, channel="b"),
    ]
    assert [image.file for image in put_together(*files)[0]] == ["1", "2", "3"]


def test_a_stack_per_channel_keeps_its_planes() -> None:
    image = one_of(source("a", (2, 1, 5, 8, 9), channel="a"), source("b", (2, 1, 5, 8, 9), channel="b"))
    assert image.shape == (2, 2, 5, 8, 9)
    assert corners(image) == {"a": (0, 0, 0, 0, 0), "b": (0, 1, 0, 0, 0)}


def test_channels_stand_in_the_order_that_was_named() -> None:
    files = (source("1", channel="actin"), source("2", channel="DNA"))
    assert one_of(*files).channels == ("DNA", "actin")
    assert one_of(*files, layout=Layout(channels=("actin", "DNA"))).channels == ("actin", "DNA")
    assert one_of(source("rgb", (1, 3, 1, 8, 9)), layout=Layout(channels=("x", "y", "z"))).channels == ("x", "y", "z")


def test_a_channel_that_was_not_named_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"not named.*RNA \(2\)"):
        put_together(source("1", channel="DNA"), source("2", channel="RNA"), layout=Layout(channels=("DNA",)))


def test_a_plane_whose_number_is_none_is_an_error() -> None:
    with pytest.raises(DataError, match=r"z is the number.*'top'"):
        put_together(source("1", z="top"))


def test_the_files_pixel_size_goes_before_the_layouts() -> None:
    plain = source("a")
    sized = Source(Path("b"), "b", ImageFacts(PLANE, PLANE, "uint8", "uint8", ("c",), (None, 0.5, 0.5)), {})
    images, _ = put_together(plain, sized, layout=Layout(pixel_um=(2.0, 0.1, 0.1)))
    assert [image.pixel_um for image in images] == [(2.0, 0.1, 0.1), (2.0, 0.5, 0.5)]


@pytest.mark.parametrize(
    ("files", "reason", "found"),
    [
        ((source("1", channel="a", z=0), source("2", channel="b", z=1)), "incomplete", "there is no channel a, z 1"),
        ((source("1", z=1), source("2", z=2), source("4", z=4)), "incomplete", "not evenly spaced: 1, 2, 4"),
        ((source("1", channel="a"), source("2", channel="a")), "duplicate_plane", "1 and 2 are both channel a"),
        ((source("1", channel="a"), source("2", (1, 1, 1, 9, 8), channel="b")), "mismatch", "1 is .* and 2 is"),
        ((source("1", channel="a"), source("2", PLANE, "uint16", channel="b")), "mismatch", "uint16"),
        ((source("1", channel="a"), source("2")), "mismatch", "2 does not say its channel"),
        ((source("1", (1, 3, 1, 8, 9), channel="a"),), "mismatch", "one channel has 3"),
        ((source("1", (1, 1, 4, 8, 9), z=1), source("2", (1, 1, 4, 8, 9), z=2)), "mismatch", "one z has 4"),
        ((source("1", labels="cells"),), "incomplete", "no image that this label image lies on"),
    ],
)
def test_files_that_make_no_whole_image_are_left_out_together(
    files: tuple[Source, ...], reason: str, found: str
) -> None:
    images, faulty = put_together(*files, source("good", well=1, channel="a"), source("good2", well=1, channel="b"))
    assert [image.file for image in images if image.metadata] == ["good"]
    assert {(one.file, one.reason) for one in faulty} == {(one.file, reason) for one in files}
    assert all(re.search(found, one.found) for one in faulty)


def test_an_image_lacks_a_channel_that_others_have() -> None:
    files = [source(f"{well}{c}", well=well, channel=c) for well in (1, 2, 3) for c in "ab"]
    images, faulty = put_together(*files[:-1])
    assert [image.metadata["well"] for image in images] == [1, 2]
    assert faulty == [Faulty("3a", "incomplete", "there is no channel b")]


def test_names_of_another_number_than_the_channels_are_a_mismatch() -> None:
    images, faulty = put_together(source("a"), source("b", (1, 2, 1, 8, 9)), layout=Layout(channels=("DNA",)))
    assert [image.file for image in images] == ["a"]
    assert [(one.file, one.reason) for one in faulty] == [("b", "mismatch")]


def test_label_images_lie_on_the_image_of_the_same_metadata() -> None:
    files = [source("raw1", section=1), source("m1", labels="membranes", section=1), source("raw2", section=2)]
    files += [source("s1", PLANE, "uint16", labels="synapses", section=1)]
    images, faulty = put_together(*files)
    assert faulty == []
    assert [sorted(image.labels) for image in images] == [["membranes", "synapses"], []]
    assert [image.shape for image in images] == [PLANE, PLANE]
    assert [one.file for one in images[0].sources] == ["raw1", "m1", "s1"]


def test_label_images_of_planes_make_a_stack() -> None:
    planes = [source(f"l{z}", labels="cells", z=z) for z in (2, 1)]
    image = one_of(source("raw2", z=2), source("raw1", z=1), *planes)
    assert [piece.source.file for piece in image.labels["cells"]] == ["l1", "l2"]


@pytest.mark.parametrize(
    ("label", "found"),
    [
        (source("l", (1, 1, 1, 9, 8), labels="cells"), "it is 1 x 1 x 1 x 9 x 8 and its image 1 x 1 x 1 x 8 x 9"),
        (source("l", (1, 3, 1, 8, 9), labels="cells"), "it is 1 x 3"),
        (source("l", PLANE, "float32", labels="cells"), "integers"),
    ],
)
def test_a_label_image_that_does_not_fit_is_left_out_alone(label: Source, found: str) -> None:
    (image,), (faulty,) = put_together(source("raw"), label, source("m", labels="good"))
    assert list(image.labels) == ["good"]
    assert (faulty.file, faulty.reason) == ("l", "mismatch")
    assert found in faulty.found


def test_a_label_image_needs_a_name_that_is_safe() -> None:
    with pytest.raises(RecipeError, match="a label image cannot be used as a name"):
        put_together(source("raw"), source("l", labels="../cells"))
