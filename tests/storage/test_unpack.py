"""Files of sample arrays: every value as it was, damaged files refused, and nothing unpickled."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from storage import unpack as module
from storage.errors import DataError, DiskError
from storage.unpack import unpack

NYXC = np.random.default_rng(0).integers(0, 4000, (50, 8, 9, 3)).astype(np.uint16)


FILTERS: dict[str, dict[str, Any]] = {
    "blosc": {"compressors": numcodecs.Blosc("lz4")},
    "zlib": {"compressors": numcodecs.Zlib(1)},
    "zstd": {"compressors": numcodecs.Zstd(3)},
    "lzma": {"compressors": numcodecs.LZMA(preset=1)},
    "bz2": {"compressors": numcodecs.BZ2(1)},
    "lz4": {"compressors": numcodecs.LZ4()},
    "delta": {"filters": [numcodecs.Delta("u2")], "compressors": numcodecs.GZip(1)},
    "shuffle and checksum": {"filters": [numcodecs.Shuffle(2), numcodecs.CRC32()], "compressors": None},
    "offset": {"filters": [numcodecs.FixedScaleOffset(0, 1, "u2")], "compressors": numcodecs.Adler32()},
}


@pytest.mark.parametrize("filters", FILTERS)
def test_zarr_version_2_with_safe_codecs(filters: str, tmp_path: Path) -> None:
    made: Any = {"shape": NYXC.shape, "chunks": (7, 8, 9, 2), "dtype": "u2", "zarr_format": 2}
    zarr.create_array(tmp_path / "cells.zarr", **made, **FILTERS[filters])[:] = NYXC
    assert np.array_equal(unpack(tmp_path / "cells.zarr", "", tmp_path / "scratch"), NYXC)


@pytest.mark.parametrize("keys", [{"chunks": (7, 8, 9, 2)}, {"chunks": (5, 8, 9, 3), "shards": (20, 8, 9, 3)}])
def test_zarr_version_3(keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 5000)
    zarr.create_array(tmp_path / "a.zarr/cells", shape=NYXC.shape, dtype="u2", **keys)[:] = NYXC
    assert np.array_equal(unpack(tmp_path / "a.zarr/cells", "", tmp_path / "scratch"), NYXC)


def test_a_zarr_array_with_a_missing_chunk_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "cells", shape=(40, 4, 4), chunks=(10, 4, 4), dtype="u1")[:] = 1
    (tmp_path / "cells/c/2/0/0").unlink()
    with pytest.raises(DataError, match="c/2/0/0 is missing"):
        unpack(tmp_path / "cells", "", tmp_path / "scratch")


def test_a_damaged_chunk_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "cells", shape=(40, 4, 4), chunks=(10, 4, 4), dtype="u1")[:] = 1
    (tmp_path / "cells/c/2/0/0").write_bytes(b"\x28\xb5")
    with pytest.raises(DataError, match="is damaged"):
        unpack(tmp_path / "cells", "", tmp_path / "scratch")


class Canary:
    """Would leave a trace if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    bad = np.asarray([Canary(tmp_path / "canary"), None], object)
    np.save(tmp_path / "cells.npy", bad, allow_pickle=True)
    np.savez(tmp_path / "cells.npz", images=bad)
    folder = tmp_path / "cells.zarr"
    folder.mkdir()
    (folder / "0").write_bytes(numcodecs.Pickle().encode(bad))
    said = {"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "|O", "fill_value": 0, "order": "C"}
    (folder / ".zarray").write_text(json.dumps(said | {"compressor": None, "filters": [{"id": "pickle"}]}))
    for name in ("cells.npy", "cells.npz", "cells.zarr"):
        with pytest.raises(DataError, match="cells"):
            unpack(tmp_path / name, "", tmp_path / "scratch")
    assert not (tmp_path / "canary").exists()
    np.load(tmp_path / "cells.npy", allow_pickle=True)
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["cells.npy", "cells.npz"])
def test_a_file_cut_anywhere_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    np.save(file, NYXC) if name.endswith("npy") else np.savez_compressed(file, NYXC)
    data = file.read_bytes()
    for part in range(10):
        file.write_bytes(data[: part * len(data) // 10])
        with pytest.raises(DataError, match="cannot be read"):
            unpack(file, "", tmp_path / "scratch")
    file.write_bytes(data + b"x")
    if name.endswith("npy"):
        with pytest.raises(DataError, match="its header declares"):
            unpack(file, "", tmp_path / "scratch")


def test_a_flipped_bit_of_an_npz_is_noticed(tmp_path: Path) -> None:
    np.savez(tmp_path / "cells.npz", NYXC)
    data = bytearray((tmp_path / "cells.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "cells.npz").write_bytes(data)
    with pytest.raises(DataError, match="Bad CRC"):
        unpack(tmp_path / "cells.npz", "", tmp_path / "scratch")


def test_an_npz_that_declares_more_than_the_disk_holds_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cells.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 1, 1)})
        archive.writestr("images.npy", header.getvalue())
    with pytest.raises(DataError, match="cannot be read"):
        unpack(tmp_path / "cells.npz", "", tmp_path / "scratch")


def test_no_room_to_unpack_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "cells.npz", NYXC)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 99})())
    with pytest.raises(DiskError, match="no space"):
        unpack(tmp_path / "cells.npz", "", tmp_path / "scratch")
