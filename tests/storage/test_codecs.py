"""Whatever way chunks are packed: values come back, and no flipped bit is read."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.codecs import codec, numcodecs_allowed
from storage.errors import DataError, RecipeError
from storage.store import create_array, open_array, read_rows, write_shard

LOSSLESS: list[tuple[dict[str, Any], str]] = [
    ({"name": "zstd"}, "uint8"),
    ({"name": "zstd", "level": 9}, "float32"),
    ({"name": "blosc"}, "uint16"),
    ({"name": "blosc", "cname": "zstd", "clevel": 3, "shuffle": "shuffle"}, "float32"),
    ({"name": "delta+zstd"}, "uint8"),
    ({"name": "delta+zstd", "level": 3}, "uint16"),
    ({"name": "none"}, "uint8"),
    ({"name": "none"}, "float32"),
]
BITROUND = ({"name": "bitround", "keepbits": 7}, "float32")


def written(path: Path, keys: dict[str, Any], dtype: str) -> np.ndarray:
    """Ten rows of 1 x 12 x 12, in two shards of three chunks; neighbours are alike, as in images."""
    values = np.random.default_rng(0).integers(0, 256, (10, 1, 12, 12)).cumsum(axis=-1)
    rows = (values % 256).astype(dtype) if dtype == "uint8" else (values / 7).astype(dtype)
    create_array(path, rows.shape, dtype, (2, 1, 12, 12), (6, 1, 12, 12), ("sample", "c", "y", "x"), codec(**keys))
    for start in (0, 6):
        write_shard(path, start, rows[start : start + 6])
    return rows


@pytest.mark.parametrize(("keys", "dtype"), LOSSLESS)
def test_values_come_back(keys: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    rows = written(tmp_path / "array", keys, dtype)
    assert np.array_equal(read_rows(open_array(tmp_path / "array"), 0, 10), rows)
    assert not codec(**keys).lossy


@pytest.mark.parametrize(("keys", "dtype"), [*LOSSLESS, BITROUND])
def test_no_flipped_bit_is_read_as_other_values(keys: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    written(tmp_path / "array", keys, dtype)
    array, shard = open_array(tmp_path / "array"), tmp_path / "array/c/0/0/0/0"
    data, before = shard.read_bytes(), read_rows(array, 0, 10)
    noticed = 0
    for place in range(0, len(data), 1 + len(data) // 97):
        shard.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
        try:
            assert np.array_equal(read_rows(array, 0, 10), before)  # a bit that zstd says nobody shall mind
        except DataError:
            noticed += 1
    assert noticed >= 90


def test_bit_rounding_keeps_the_leading_bits(tmp_path: Path) -> None:
    rows = written(tmp_path / "array", *BITROUND)
    read = read_rows(open_array(tmp_path / "array"), 0, 10)
    assert not np.array_equal(read, rows)
    assert np.allclose(read, rows, rtol=2**-8, atol=0)
    assert codec("bitround", keepbits=7).lossy


def test_delta_makes_smooth_images_smaller(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 40000, 10, dtype=np.uint16), (8, 1))
    sizes = []
    for name in ("zstd", "delta+zstd"):
        create_array(tmp_path / name, ramp.shape, "uint16", (8, 4000), (8, 4000), ("y", "x"), codec(name))
        write_shard(tmp_path / name, 0, ramp)
        sizes.append((tmp_path / name / "c/0/0").stat().st_size)
    assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"name": "gzip"}, "no codec 'gzip'"),
        ({"name": "pickle"}, "no codec 'pickle'"),
        ({"name": "zstd", "clevel": 1}, "no key 'clevel'"),
        ({"name": "none", "level": 1}, "no key 'level'"),
        ({"name": "zstd", "level": 23}, "Use 1 to 22"),
        ({"name": "zstd", "level": True}, "out of range"),
        ({"name": "zstd", "level": "high"}, "out of range"),
        ({"name": "blosc", "cname": "lzma"}, "Use one of blosclz"),
        ({"name": "bitround"}, "no keepbits"),
    ],
)
def test_what_does_not_exist_is_refused(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        codec(**keys)


@pytest.mark.parametrize(
    ("keys", "dtype"), [({"name": "delta+zstd"}, "float32"), ({"name": "bitround", "keepbits": 3}, "uint16")]
)
def test_what_would_change_values_unasked_is_refused(keys: dict[str, Any], dtype: str) -> None:
    with pytest.raises(RecipeError, match=f"cannot pack {dtype}"):
        codec(**keys).chain(dtype)


def test_other_warnings_stay() -> None:
    with numcodecs_allowed(), pytest.raises(UserWarning, match="other"):
        warnings.warn("other", UserWarning, stacklevel=1)
