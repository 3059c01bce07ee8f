"""Planted objects are found, and measured as scikit-image would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import regionprops

from storage.operations import Stack
from storage.operations.segmentation import objects, segment_cells, segment_nuclei, threshold

CENTRES = [(20, 20), (20, 38), (60, 30), (70, 80), (30, 85)]
"""Of nuclei of radius 10; the first two touch."""


def nuclei(shape: tuple[int, ...] = (1, 100, 110), radius: float = 10.0, z_um: float = 1.0) -> Stack:
    z, y, x = np.indices(shape)
    dna, cell = np.zeros(shape), np.zeros(shape)
    for row, column in CENTRES:
        distance = np.sqrt(((z - shape[0] // 2) * z_um) ** 2 + (y - row) ** 2 + (x - column) ** 2)
        dna[distance < radius] = 1000
        cell = np.maximum(cell, np.clip(900 - 40 * distance, 0, None))
    noise = np.random.default_rng(0).normal(100, 20, (2, *shape))
    return Stack(np.stack([dna, cell]) + noise, ("dna", "cytoplasm"), {}, (z_um, 1.0, 1.0))


@pytest.mark.parametrize(
    ("shape", "z_um"), [((1, 100, 110), 1.0), ((27, 100, 110), 1.0), ((11, 100, 110), 2.5), ((5, 100, 110), 5.0)]
)
def test_nuclei_are_found_and_parted(shape: tuple[int, ...], z_um: float) -> None:
    found = segment_nuclei(nuclei(shape, z_um=z_um), channel="dna").labels["nucleus"]
    assert found.dtype == np.int32
    assert found.shape == shape
    table = objects(found)
    assert table["label"].tolist() == [1, 2, 3, 4, 5]
    distances = np.hypot(*(table[axis][:, None] - np.array(CENTRES)[:, i] for i, axis in enumerate("yx")))
    assert (distances.min(axis=0) < 1.5).all()
    assert np.abs(table["z"] - shape[0] // 2).max() < 0.6
    middle = found[shape[0] // 2]
    assert [middle[y, x] > 0 for y, x in CENTRES] == [True] * 5
    assert middle[20, 20] != middle[20, 38]


@pytest.mark.parametrize("distance_px", [2, 7])
def test_few_thick_slices_are_no_flat_nuclei(distance_px: int) -> None:
    stack = nuclei((5, 100, 110), z_um=5.0)
    found = objects(segment_nuclei(stack, channel="dna", distance_px=distance_px).labels["nucleus"])
    planted = (stack.image[0] > 600).sum()
    assert len(found["label"]) == 5
    assert found["voxels"].sum() == pytest.approx(planted, rel=0.05)


def test_touching_nuclei_may_stay_together() -> None:
    found = segment_nuclei(nuclei(), channel="dna", name="blob", split=False).labels["blob"]
    assert found.max() == 4
    assert found[0, 20, 20] == found[0, 20, 38]


def test_every_part_of_the_foreground_belongs_to_a_nucleus() -> None:
    together, parted = (
        segment_nuclei(nuclei(), channel="dna", split=split).labels["nucleus"] > 0 for split in (False, True)
    )
    assert np.array_equal(together, parted)


def test_small_objects_are_left_out() -> None:
    stack = nuclei()
    stack.image[0, 0, 1:4, 5:8] = 1500
    assert segment_nuclei(stack, channel="dna", min_area_px=20).labels["nucleus"].max() == 5
    together = segment_nuclei(stack, channel="dna", min_area_px=20, split=False).labels["nucleus"]
    assert np.array_equal(np.unique(together), range(5))
    assert segment_nuclei(stack, channel="dna", min_area_px=4).labels["nucleus"].max() == 6
    assert segment_nuclei(stack, channel="dna", min_area_px=10_000).labels["nucleus"].max() == 0


def test_holes_are_filled() -> None:
    stack = nuclei()
    stack.image[0, 0, 67:72, 78:82] = 0
    assert (segment_nuclei(stack, channel="dna").labels["nucleus"][0, 67:72, 78:82] > 0).all()


def test_cells_have_the_numbers_of_their_nuclei() -> None:
    stack = segment_cells(segment_nuclei(nuclei(), channel="dna"), channel="cytoplasm")
    cell, nucleus = stack.labels["cell"], stack.labels["nucleus"]
    inside = nucleus > 0
    assert np.array_equal(cell[inside], nucleus[inside])
    counts = [np.bincount(one.ravel())[1:] for one in (cell, nucleus)]
    assert len(counts[0]) == 5
    assert (counts[0] > 1.1 * counts[1]).all()


def test_a_nucleus_in_the_dark_is_a_cell() -> None:
    stack = segment_nuclei(nuclei(), channel="dna")
    stack.image[1, :, 55:] = 100
    found = segment_cells(stack, channel="cytoplasm").labels
    assert np.array_equal(found["cell"][:, 62:], found["nucleus"][:, 62:])
    assert found["nucleus"][0, 70, 80] > 0


def test_no_nuclei_no_cells() -> None:
    flat = Stack(np.full((1, 1, 30, 30), 7, np.uint16), ("dna",))
    stack = segment_cells(segment_nuclei(flat, channel="dna"), channel="dna")
    assert not stack.labels["nucleus"].any()
    assert not stack.labels["cell"].any()


def test_a_threshold_is_exceeded() -> None:
    found = threshold(Stack(np.arange(4).reshape(1, 1, 2, 2), ("red",)), channel="red", above=1, name="seen")
    assert found.labels["seen"].dtype == np.uint8
    assert found.labels["seen"].ravel().tolist() == [0, 0, 1, 1]


def test_names_are_known_and_new() -> None:
    stack = segment_nuclei(nuclei(), channel="dna")
    with pytest.raises(ValueError, match="already a label image 'nucleus'"):
        segment_nuclei(stack, channel="dna")
    with pytest.raises(ValueError, match="already a label image 'nucleus'"):
        threshold(stack, channel="dna", above=0, name="nucleus")
    with pytest.raises(ValueError, match="no channel 'red'"):
        segment_nuclei(stack, channel="red")
    with pytest.raises(ValueError, match="no label image 'x'"):
        segment_cells(stack, channel="dna", nuclei="x")


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from(["uint8", "uint16", "int32", "int64"]),
    most=st.sampled_from([1, 3, 200]),
    seed=st.integers(0, 99),
)
def test_objects_are_measured_as_by_scikit_image(shape: tuple[int, int, int], dtype: str, most: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = (random.integers(0, most + 1, shape) * random.integers(0, 2, shape)).astype(dtype)
    found = objects(labels)
    wanted = regionprops(labels)
    assert found["label"].tolist() == [one.label for one in wanted]
    assert found["voxels"].tolist() == [one.area for one in wanted]
    for axis, letter in enumerate("zyx"):
        assert found[letter] == pytest.approx(np.array([one.centroid[axis] for one in wanted]))
        assert found[f"{letter}0"].tolist() == [one.bbox[axis] for one in wanted]
        assert found[f"{letter}1"].tolist() == [one.bbox[axis + 3] for one in wanted]
    edge = np.zeros(shape, bool)
    edge[:, [0, -1]] = edge[:, :, [0, -1]] = True
    assert found["touches_border"].tolist() == [bool((labels[edge] == one.label).any()) for one in wanted]


def test_objects_of_any_number_and_of_none() -> None:
    labels = np.zeros((1, 5, 5), np.int64)
    assert all(len(column) == 0 for column in objects(labels).values())
    labels[0, 2, 2], labels[0, 3, 3] = 2**40, 7
    assert objects(labels)["label"].tolist() == [7, 2**40]
    assert not objects(labels)["touches_border"].any()


def test_parts_of_one_number_are_one_object() -> None:
    labels, _ = ndimage.label(np.eye(6))
    labels[labels > 0] = 4
    found = objects(labels[None])
    assert found["label"].tolist() == [4]
    assert (found["y0"][0], found["y1"][0], found["voxels"][0]) == (0, 6, 6)
