"""Files of sample arrays (NPY, NPZ, Zarr) as one array on the disk, of any size, read where it is needed.

Nothing of them can run code: object arrays, and codecs that pickle, are refused before a byte of them is read.
"""

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from storage.durable import require_space
from storage.errors import DataError, MissingError, RecipeError
from storage.metadata import ArrayMetadata, read_metadata
from storage.store import DAMAGES, open_array, read_rows

READ_BYTES = 16 << 20
MOST_READ_BYTES = 1 << 30


def files_of(path: Path) -> list[Path]:
    """What a sample array consists of: one file, or all of a Zarr array, sorted."""
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def unpack(path: Path, name: str, scratch: Path) -> NDArray[Any]:
    """A read-only memory map of a sample array, in the axes it is stored in.

    name: of the array in an NPZ file, "" if it has one.  An NPY file is mapped where it is; an NPZ member can
    only be decoded whole and in order, and a Zarr array chunk by chunk: both go to the file `scratch` first, so
    that memory stays flat and the disk must have room for all values.
    Raises MissingError: there is no such file.  Raises RecipeError: which array is meant is not clear.
    Raises DataError: it is damaged, incomplete, or holds what is no number.  Raises DiskError: no room.
    """
    if path.is_dir():
        return _unpack_zarr(path, scratch)
    if not path.is_file():
        raise MissingError(f"there is no sample array at {path}", "no such file", "Check the path")
    if path.suffix.lower() == ".npy":
        return _mapped(path, path)
    if path.suffix.lower() == ".npz":
        return _unpack_npz(path, name, scratch)
    raise RecipeError(
        f"{path} is no file of sample arrays",
        f"its name ends in {path.suffix!r}",
        "Give an NPY, an NPZ or a Zarr array",
    )


def _mapped(path: Path, told: Path) -> NDArray[Any]:
    """The values of an NPY file.  told: the file that messages name."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # refuses objects, which would be unpickled
        end = array.offset + array.nbytes
    except (ValueError, OSError, EOFError, OverflowError) as error:
        raise _damaged(told, str(error)) from None
    if end != path.stat().st_size:
        raise _damaged(told, f"{path.stat().st_size} bytes, and its header declares {end}")
    return np.asarray(array)


def _unpack_npz(path: Path, name: str, scratch: Path) -> NDArray[Any]:
    with contextlib.ExitStack() as stack:
        with _reading(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
        names = [one.removesuffix(".npy") for one in archive.namelist() if one.endswith(".npy")]
        chosen = name or (names[0] if len(names) == 1 else "")
        if chosen not in names:
            raise RecipeError(
                f"{path} has no array {name!r}" if name else f"which array of {path} is meant is not clear",
                f"it has {', '.join(names) or 'none'}",
                "Name it in the layout of a data set",
            )
        require_space(scratch.parent, archive.getinfo(f"{chosen}.npy").file_size)
        with _reading(path):
            stream = stack.enter_context(archive.open(f"{chosen}.npy"))
        with scratch.open("wb") as out:
            for block in _blocks(stream, path):
                out.write(block)
    return _mapped(scratch, path)


def _blocks(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    """Only reading is guarded: a disk that is full is not the fault of the file."""
    block = b"more"
    while block:
        with _reading(path):
            block = stream.read(READ_BYTES)
        yield block


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (*DAMAGES, zipfile.BadZipFile) as error:
        raise _damaged(path, str(error)) from None


def _unpack_zarr(path: Path, scratch: Path) -> NDArray[Any]:
    declared = read_metadata(path)
    _require_whole(path, declared)
    require_space(scratch.parent, declared.bytes)
    array = open_array(path)
    out = np.lib.format.open_memmap(scratch, mode="w+", dtype=declared.dtype, shape=declared.shape)
    row_bytes = max(1, declared.bytes // declared.shape[0])
    rows = declared.chunk[0] * max(1, READ_BYTES // (declared.chunk[0] * row_bytes))
    rows = min(rows, max(1, MOST_READ_BYTES // row_bytes))
    for start in range(0, declared.shape[0], rows):
        block = read_rows(array, start, start + rows)
        out[start : start + len(block)] = block
    out.flush()
    del out
    return _mapped(scratch, path)


def _require_whole(path: Path, declared: ArrayMetadata) -> None:
    """Raise DataError if an object is missing: zarr reads it as fill values, and nobody knows which it was."""
    if 0 in declared.shape or not declared.shape:
        raise DataError(f"{path} holds no samples", f"its shape is {declared.shape}", "Make it again")
    missing = next((key for key in declared.objects() if not (path / key).is_file()), None)
    if missing is not None:
        raise DataError(
            f"{path} is not complete",
            f"{missing} is missing, which zarr would read as fill values",
            "Copy it again from where it came; if it was left out because all of it is empty, write the array with "
            "write_empty_chunks",
        )


def _damaged(path: Path, found: str) -> DataError:
    return DataError(f"{path} cannot be read", found or "its end", "Copy it again from where it came")
