"""Where samples come from: every kind of cut, on frames of 20 x 30 pixels and 4 planes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cuts import Cut, Frames, Places, places, read_boxes, resolved, shuffled
from storage.errors import DataError, MissingError, RecipeError
from storage.operations.segmentation import objects

IMAGES = pa.table({"file": ["a.tif", "b.tif", "c.tif"], "date": ["1", "1", "2"], "embryo": ["x", "y", "x"]})
SIZE = (4, 20, 30)
FRAMES = Frames(
    image=np.array([0, 0, 1, 2, 2, 2]),
    series=np.array([0, 0, 0, 1, 1, 1]),
    frame=np.array([0, 1, 2, 0, 1, 2]),
    size=SIZE,
    slices=(0, 3),
)


def cut_places(cut: Cut, frames: Frames = FRAMES, found: Sequence[Mapping[str, Any]] = (), seed: int = 0) -> Places:
    return places(frames, cut, IMAGES, found, seed)


def corners(chosen: Places) -> list[tuple[int, ...]]:
    """series, frame, z, y, x of every sample."""
    return list(zip(*(getattr(chosen, name).tolist() for name in ("series", "frame", "z", "y", "x")), strict=True))


def per_plane(chosen: Places) -> dict[tuple[int, ...], int]:
    counts: dict[tuple[int, ...], int] = {}
    for place in corners(chosen):
        counts[place[:3]] = counts.get(place[:3], 0) + 1
    return counts


PLANES = [(s, f, z) for s, f in zip(FRAMES.series.tolist(), FRAMES.frame.tolist(), strict=True) for z in range(4)]

# tiles


@given(
    h=st.integers(1, 20),
    w=st.integers(1, 30),
    d=st.none() | st.integers(1, 3),
    slices=st.tuples(st.integers(0, 3), st.integers(0, 3)).map(sorted),
)
def test_tiles_cover_every_plane_once(h: int, w: int, d: int | None, slices: list[int]) -> None:
    first, last = slices
    frames = replace(FRAMES, slices=(first, last))
    cut = Cut("tiled", (h, w)) if d is None else Cut("tiled", (d, h, w), dimensions=3)
    depth = d or 1
    if depth > last - first + 1:
        with pytest.raises(RecipeError, match="larger than the images"):
            cut_places(cut, frames)
        return
    covered = np.zeros((2, 3, *SIZE), int)
    for s, f, z, y, x in corners(cut_places(cut, frames)):
        covered[s, f, z : z + depth, y : y + h, x : x + w] += 1
    tiled = (slice(first, first + (last - first + 1) // depth * depth), slice(20 // h * h), slice(30 // w * w))
    for s, f in zip(FRAMES.series, FRAMES.frame, strict=True):
        assert (covered[(s, f, *tiled)] == 1).all()
        covered[(s, f, *tiled)] = 0
    assert not covered.any()


def test_the_image_of_every_sample_is_that_of_its_frame() -> None:
    chosen = cut_places(Cut("tiled", (10, 10)))
    image_of = dict(zip(zip(FRAMES.series, FRAMES.frame, strict=True), FRAMES.image, strict=True))
    assert [image_of[place[:2]] for place in corners(chosen)] == chosen.image.tolist()
    assert set(chosen.thing.tolist()) == {-1}


# random places


@pytest.mark.parametrize(("kind", "each"), [("one_random", 1), ("random", 9)])
def test_random_patches_of_every_plane_are_inside_and_everywhere(kind: Any, each: int) -> None:
    chosen = cut_places(Cut(kind, (18, 27), count=9))
    assert per_plane(chosen) == dict.fromkeys(PLANES, each)
    if kind == "random":
        assert set(chosen.y.tolist()) == {0, 1, 2}
        assert set(chosen.x.tolist()) == {0, 1, 2, 3}


def test_random_volumes_are_inside_the_slices_and_everywhere_in_them() -> None:
    cut = Cut("random", (2, 19, 30), dimensions=3, count=20)
    chosen = cut_places(cut, replace(FRAMES, slices=(1, 3)))
    assert len(chosen) == 6 * 20
    assert (set(chosen.z.tolist()), set(chosen.y.tolist()), set(chosen.x.tolist())) == ({1, 2}, {0, 1}, {0})


def test_the_seed_decides_the_places() -> None:
    cut = Cut("random", (5, 5), count=2)
    assert corners(cut_places(cut, seed=1)) == corners(cut_places(cut, seed=1)) != corners(cut_places(cut, seed=2))


# whole images


@pytest.mark.parametrize(("dimensions", "size"), [(2, (20, 30)), (3, (2, 20, 30))])
def test_the_whole_is_every_plane_or_the_slices_of_a_volume(dimensions: Any, size: tuple[int, ...]) -> None:
    frames = replace(FRAMES, slices=(1, 2))
    cut = resolved(Cut("whole", (), dimensions), frames)
    assert cut.size == size
    chosen = cut_places(cut, frames)
    wanted = [place for place in PLANES if place[2] in ((1, 2) if dimensions == 2 else (1,))]
    assert corners(chosen) == [(*place, 0, 0) for place in wanted]


def test_only_the_whole_is_resolved() -> None:
    cut = Cut("tiled", (3, 4))
    assert resolved(cut, FRAMES) is cut


# boxes


def boxes_file(folder: Path, *rows: str) -> str:
    path = folder / "boxes.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


def test_boxes_belong_to_the_images_that_have_their_metadata(tmp_path: Path) -> None:
    path = boxes_file(tmp_path, "date,box,x,y,width,height", "1,left,0,0,8,8", "1,right,20,5,10,10", "2,,3,4,5,6")
    chosen = cut_places(Cut("boxes", (5, 4), boxes=path))
    assert chosen.things == [
        {"box": "left", "box_x": 0, "box_y": 0, "box_width": 8, "box_height": 8},
        {"box": "right", "box_x": 20, "box_y": 5, "box_width": 10, "box_height": 10},
        {"box": "", "box_x": 3, "box_y": 4, "box_width": 5, "box_height": 6},
    ]
    per_image: dict[int, set[str]] = {}
    for image, thing in zip(chosen.image.tolist(), chosen.thing.tolist(), strict=True):
        per_image.setdefault(image, set()).add(chosen.things[thing]["box"])
    assert per_image == {0: {"left", "right"}, 1: {"left", "right"}, 2: {""}}
    assert per_plane(chosen) == {place: 2 if place[0] == 0 else 1 for place in PLANES}


def test_two_columns_together_say_to_which_image_a_box_belongs(tmp_path: Path) -> None:
    path = boxes_file(tmp_path, "embryo,date,x,y,width,height", "x,2,0,0,8,8", "y,1,0,0,9,9", "z,1,0,0,9,9")
    chosen = cut_places(Cut("boxes", (5, 4), boxes=path))
    assert {
        (image, chosen.things[thing]["box_width"]) for image, thing in zip(chosen.image, chosen.thing, strict=True)
    } == {
        (2, 8),
        (1, 9),
    }


@given(
    box=st.tuples(st.integers(0, 29), st.integers(0, 19), st.integers(1, 30), st.integers(1, 20)),
    size=st.tuples(st.integers(1, 20), st.integers(1, 30)),
    seed=st.integers(0, 99),
)
def test_patches_are_in_their_box_or_around_its_middle(
    box: tuple[int, ...], size: tuple[int, int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = boxes_file(tmp_path_factory.getbasetemp(), "file,x,y,width,height", "b.tif," + ",".join(map(str, box)))
    chosen = cut_places(Cut("boxes", size, boxes=path, count=3), seed=seed)
    assert len(chosen) == 3 * 4
    for corner, first, extent, edge, room in (
        (chosen.y, box[1], box[3], size[0], 20),
        (chosen.x, box[0], box[2], size[1], 30),
    ):
        assert ((corner >= 0) & (corner + edge <= room)).all()
        if extent < edge:
            middle = min(max(first + (extent - edge) // 2, 0), room - edge)
            assert set(corner.tolist()) == {middle}
        elif first + extent <= room:
            assert ((corner >= first) & (corner + edge <= first + extent)).all()


def test_every_place_in_a_box_is_drawn(tmp_path: Path) -> None:
    path = boxes_file(tmp_path, "file,x,y,width,height", "a.tif,4,5,6,7")
    chosen = cut_places(Cut("boxes", (5, 4), boxes=path, count=30))
    assert set(zip(chosen.y.tolist(), chosen.x.tolist(), strict=True)) == {(y, x) for y in (5, 6, 7) for x in (4, 5, 6)}


def test_volumes_in_boxes_begin_anywhere_in_the_slices(tmp_path: Path) -> None:
    path = boxes_file(tmp_path, "file,x,y,width,height", "a.tif,4,5,6,7")
    cut = Cut("boxes", (2, 5, 4), dimensions=3, boxes=path, count=20)
    chosen = cut_places(cut, replace(FRAMES, slices=(0, 2)))
    assert len(chosen) == 2 * 20
    assert set(chosen.z.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (("date,x,y,width", "1,2,3,4"), "no column 'height'"),
        (("date,x,y,width,height", "1,2,3,4,wide"), "'wide'"),
        (("date,x,y,width,height", "1,2,3,4,5.5"), "5.5"),
        (("date,x,y,width,height", "1,2,3,4"), "NoneType"),
        (("date,x,y,width,height,name", "1,2,3,4,5"), "rows of another length"),
        (("date,x,y,width,height", "1,2,3,4,5,6"), "rows of another length"),
        (("date,x,y,width,height",), "no rows"),
    ],
)
def test_a_table_that_is_none_of_boxes_is_refused(rows: tuple[str, ...], found: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no table of boxes.*{found}"):
        read_boxes(Path(boxes_file(tmp_path, *rows)))


def test_bytes_that_are_no_text_are_no_table(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_bytes(b"date,x,y,width,height\n\xff,1,1,1,1\n")
    with pytest.raises(DataError, match="no table of boxes"):
        read_boxes(tmp_path / "boxes.csv")


def test_a_table_that_is_not_there_or_belongs_to_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"nowhere\.csv"):
        cut_places(Cut("boxes", (5, 5), boxes=str(tmp_path / "nowhere.csv")))
    path = boxes_file(tmp_path, "plate,x,y,width,height", "1,2,3,4,5")
    with pytest.raises(RecipeError, match=r"to which images.*plate, x.*the images have file, date"):
        cut_places(Cut("boxes", (5, 5), boxes=path))
    path = boxes_file(tmp_path, "date,x,y,width,height", "1999,2,3,4,5")
    with pytest.raises(RecipeError, match="nothing to cut"):
        cut_places(Cut("boxes", (5, 5), boxes=path))


@pytest.mark.parametrize(("name", "size"), [("dhash", (5, 5)), ("z", (2, 5, 5)), ("frame", (2, 5, 5))])
def test_a_column_that_prepare_writes_itself_is_refused(name: str, size: tuple[int, ...], tmp_path: Path) -> None:
    """Volumes are cut out of all planes; a box in one of them has no meaning there."""
    path = boxes_file(tmp_path, f"file,x,y,width,height,{name}", "a.tif,4,5,6,7,1")
    with pytest.raises(RecipeError, match=f"reserved.*{name}"):
        cut_places(Cut("boxes", size, 3 if len(size) == 3 else 2, boxes=path))


def test_a_box_may_say_its_plane_and_its_time_point(tmp_path: Path) -> None:
    path = boxes_file(tmp_path, "file,frame,z,x,y,width,height", "a.tif,1,2,4,5,6,7", "c.tif,0,3,0,0,9,9")
    chosen = cut_places(Cut("boxes", (5, 4), boxes=path, count=2))
    assert [place[:3] for place in corners(chosen)] == [(0, 1, 2)] * 2 + [(1, 0, 3)] * 2
    assert [set(thing) for thing in chosen.things] == [{"box_x", "box_y", "box_width", "box_height"}] * 2
    later = replace(FRAMES, time=np.array([5, 6, 0, 0, 1, 2]))
    assert [place[:3] for place in corners(cut_places(Cut("boxes", (5, 4), boxes=path), later))] == [(1, 0, 3)]


# objects


def label_image() -> np.ndarray:
    """Z Y X: 7 is inside, 3 touches the left border, 9 is in one plane and near a corner."""
    labels = np.zeros(SIZE, np.uint16)
    labels[1:4, 8:13, 10:16] = 7
    labels[0, 2:5, 0:2] = 3
    labels[3, 17:19, 27:29] = 9
    return labels


EMPTY = np.zeros(SIZE, np.uint16)
FOUND = [objects(one) for one in (label_image(), EMPTY, EMPTY, label_image(), EMPTY, EMPTY)]


def test_objects_are_centred_and_those_at_the_border_dropped() -> None:
    chosen = cut_places(Cut("objects", (7, 8), objects="cell"), found=FOUND)
    inside, corner = (2, 10 - 3, 13 - 4), (3, 18 - 3, 28 - 4)
    assert corners(chosen) == [(0, 0, *inside), (0, 0, *corner), (1, 0, *inside), (1, 0, *corner)]
    assert [chosen.things[thing] for thing in chosen.thing] == 2 * [
        {"object": 7, "voxels": 3 * 5 * 6},
        {"object": 9, "voxels": 4},
    ]
    assert chosen.image.tolist() == [0, 0, 2, 2]


def test_objects_at_the_border_are_kept_if_wanted_and_reach_outside() -> None:
    chosen = cut_places(Cut("objects", (7, 8), objects="cell", border=True), found=FOUND)
    assert corners(chosen)[:3] == [(0, 0, 0, 0, -3), (0, 0, 2, 7, 9), (0, 0, 3, 15, 24)]


def test_volumes_around_objects_are_centred_along_z_too() -> None:
    cut = Cut("objects", (3, 7, 8), dimensions=3, objects="cell")
    assert corners(cut_places(cut, found=FOUND))[:2] == [(0, 0, 1, 7, 9), (0, 0, 2, 15, 24)]


@pytest.mark.parametrize("cut", [Cut("objects", (7, 8)), Cut("objects", (3, 7, 8), dimensions=3)])
def test_objects_whose_middle_is_in_no_wanted_slice_are_left_out(cut: Cut) -> None:
    chosen = cut_places(cut, replace(FRAMES, slices=(0, 2)), FOUND)
    assert [chosen.things[thing]["object"] for thing in chosen.thing] == [7, 7]


def test_patches_around_objects_may_be_larger_than_the_images() -> None:
    assert corners(cut_places(Cut("objects", (50, 50)), found=FOUND))[0] == (0, 0, 2, 10 - 25, 13 - 25)


def test_no_objects_are_nothing_to_cut() -> None:
    with pytest.raises(RecipeError, match=r"nothing to cut.*6 frames and cut objects"):
        cut_places(Cut("objects", (5, 5)), found=[objects(EMPTY)] * 6)


# what cannot be


@pytest.mark.parametrize("kind", ["tiled", "random", "one_random"])
@pytest.mark.parametrize(
    ("size", "slices", "told"),
    [
        ((21, 5), (0, 3), r"21 x 5 pixels, and the images are 20 x 30.*\[20, 30\] or less"),
        ((5, 31), (0, 3), "5 x 31 pixels"),
        ((5, 5, 5), (0, 3), r"\[4, 20, 30\] or less"),
        ((3, 5, 5), (1, 2), r"\[2, 20, 30\] or less"),
    ],
)
def test_what_is_larger_than_the_images_is_refused(
    kind: Any, size: tuple[int, ...], slices: tuple[int, int], told: str
) -> None:
    with pytest.raises(RecipeError, match=told):
        cut_places(Cut(kind, size, dimensions=2 if len(size) == 2 else 3), replace(FRAMES, slices=slices))


# rows and their order


def test_rows_keep_their_own_things_alone(tmp_path: Path) -> None:
    chosen = cut_places(Cut("objects", (7, 8)), found=FOUND)
    some = chosen.rows(np.array([3, 1, 3]))
    assert [some.things[thing]["object"] for thing in some.thing] == [9, 9, 9]
    assert len(some.things) == 2
    assert corners(some) == [corners(chosen)[row] for row in (3, 1, 3)]
    none = cut_places(Cut("tiled", (10, 10))).rows(slice(2, 5))
    assert (len(none), none.things, set(none.thing.tolist())) == (3, [], {-1})


@given(shard=st.integers(1, 200), per_read=st.integers(1, 4), seed=st.integers(0, 50))
def test_shuffling_loses_nothing_and_keeps_together_what_is_read_together(shard: int, per_read: int, seed: int) -> None:
    plan = cut_places(Cut("tiled", (10, 10)))
    order = shuffled(plan, shard, per_read, seed)
    assert sorted(corners(order)) == sorted(corners(plan))
    assert corners(shuffled(plan, shard, per_read, seed)) == corners(order)
    reads = list(zip(order.series.tolist(), (order.frame // per_read).tolist(), strict=True))
    pieces = [reads[start : start + shard] for start in range(0, len(reads), shard)]
    begun: list[tuple[int, int]] = []
    for piece in pieces:  # a read that is not finished in one shard is gone on with in the next
        begun += [read for read in dict.fromkeys(piece) if read not in begun]
        assert set(piece) <= set(begun)
    assert sum(len(set(piece)) for piece in pieces) <= len(set(reads)) + len(pieces) - 1


def test_shuffling_mixes_images_and_the_seed_decides() -> None:
    plan = cut_places(Cut("tiled", (10, 10)))
    one, two = (corners(shuffled(plan, 1000, 1, seed)) for seed in (0, 1))
    assert one != two != corners(plan)
    assert len({place[:2] for place in one[:12]}) > 2
