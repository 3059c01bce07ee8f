"""The tables of an image store: what is said of images, and what is odd about files."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from storage.errors import DataError
from storage.ingest import ingest
from storage.layout import Layout, from_pattern

RANDOM = np.random.default_rng(0)


def noise(kind: type, *shape: int) -> np.ndarray:
    high = 2 if kind is bool else 60_000 if kind is np.uint16 else 256
    return RANDOM.integers(0, high, shape).astype(kind)


def test_what_names_say_becomes_columns_with_nulls_where_they_are_silent(image_folder: Path, tmp_path: Path) -> None:
    def metadata(file: str) -> dict[str, str | int]:
        return {"embryo": file[0]} | ({"time": int(file[3])} if file[0] == "b" else {})

    images = ingest(image_folder, tmp_path / "store", Layout(metadata)).store.images
    assert images.column("embryo").to_pylist() == list("aabbcc")
    assert images.column("time").to_pylist() == [None, None, 1, 2, None, None]


@pytest.mark.parametrize("key", ["series", "file", "y", "frame"])
def test_metadata_may_not_take_the_name_of_a_column_of_ours(key: str, image_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"reserved name.*{key}"):
        ingest(image_folder, tmp_path / "store", Layout(lambda file: {key: 1}))
    assert list(tmp_path.iterdir()) == []


def test_odd_values_are_reported_and_ingested_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    odd = noise(np.float32, 8, 9)
    odd[0, :3] = np.nan, np.inf, -np.inf
    bright = np.minimum(noise(np.uint16, 8, 9), 65534)
    bright[0, 0] = 65535  # 1.4 %
    plain = np.minimum(noise(np.uint8, 8, 90), 254)
    plain[0, :7] = 255  # 0.97 %
    files = {
        "1odd.tif": odd,
        "2none.tif": np.full((8, 9), np.nan, np.float32),
        "3same.tif": np.full((8, 9), 7, np.uint8),
        "4bright.tif": bright,
        "5plain.tif": plain,
        "6mask.tif": np.where(noise(bool, 8, 9), np.uint8(255), np.uint8(0)),
        "7bits.tif": noise(bool, 8, 9),
    }
    for name, pixels in files.items():
        tifffile.imwrite(folder / name, pixels)
    tifffile.imwrite(folder / "8again.tif", plain, compression="zlib")
    (folder / "9copy.tif").write_bytes((folder / "4bright.tif").read_bytes())
    done = ingest(folder, tmp_path / "store")
    rows = {row["file"][0]: row for row in done.store.files.to_pylist()}
    assert [rows[key]["nan"] for key in "1234"] == [3, 72, 0, 0]
    assert (rows["1"]["min"], rows["1"]["max"]) == (odd[np.isfinite(odd)].min(), odd[np.isfinite(odd)].max())
    assert (rows["2"]["min"], rows["2"]["max"]) == (None, None)
    assert [key for key in rows if rows[key]["constant"]] == ["3"]
    assert [key for key in rows if rows[key]["saturated"]] == ["4", "9"]
    assert {key: rows[key]["duplicate_of"] for key in "456789"} == {
        **dict.fromkeys("4567"),
        "8": "5plain.tif",
        "9": "4bright.tif",
    }
    assert done.reported == {"nan": 2, "constant": 1, "saturated": 2, "duplicate_of": 2}
    first = next(one for one in done.store.series if one.dtype == "float32")
    assert np.array_equal(done.store.array(first)[0, 0, 0], odd, equal_nan=True)


def test_frames_of_a_movie_in_many_shards_are_still_a_duplicate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.store.CHUNK_BYTES", 8 * 9)
    monkeypatch.setattr("storage.store.SHARD_BYTES", 3 * 8 * 9)
    folder = tmp_path / "source"
    folder.mkdir()
    movie = noise(np.uint8, 5, 8, 9)
    swapped = movie[[1, 0, 2, 3, 4]]
    for name, pixels, how in (("a", movie, None), ("b", movie, "zlib"), ("c", swapped, None)):
        how_written = {"photometric": "minisblack", "metadata": {"axes": "TYX"}, "compression": how}
        tifffile.imwrite(folder / f"{name}.tif", pixels, **how_written)
    assert ingest(folder, tmp_path / "store").store.files.column("duplicate_of").to_pylist() == [None, "a.tif", None]


def test_files_that_match_no_pattern_or_row_are_counted(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("embryo,strain\na,N2\n")
    layout = from_pattern("{embryo}_t{minute}.png", tmp_path / "t.csv")
    (tmp_path / "source").mkdir()
    for path in image_folder.iterdir():
        (tmp_path / "source" / path.name).symlink_to(path)
    (tmp_path / "source" / "other.png").symlink_to(image_folder / "a_t1.png")
    done = ingest(tmp_path / "source", tmp_path / "store", layout)
    assert (done.unmatched, done.untabled) == (1, 4)
    assert done.store.images.column("strain").to_pylist() == ["N2", "N2", None, None, None, None]
    assert done.store.images.column("minute").to_pylist() == [1, 2, 1, 2, 1, 2]


def test_a_column_of_text_and_numbers_is_text(image_folder: Path, tmp_path: Path) -> None:
    images = ingest(
        image_folder, tmp_path / "store", Layout(lambda file: {"of": file if file[0] == "a" else 1})
    ).store.images
    assert images.column("of").to_pylist() == ["a_t1.png", "a_t2.png", "1", "1", "1", "1"]
