"""What Dask does to shards when its chunks are smaller, and why ours cannot.

Tasks that write parts of one shard each read the shard, put their part in, and write it back: the last one wins, and
what the others wrote is lost without a word. Seen with dask 2026.8.0 and zarr 3.1.6; dask issue 12583.
"""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr

from storage.store import create_array, open_array, read_rows, write_shard

SHARD, CHUNK, ATTEMPTS = 64, 4, 20
ROWS = np.arange(1, 1 + 256 * 1024, dtype=np.int32).reshape(256, 1024)


@pytest.fixture
def array(tmp_path: Path) -> Path:
    """256 rows of 1024 in four shards of 64, of sixteen chunks each; nothing is written yet."""
    create_array(tmp_path / "array", ROWS.shape, "int32", (CHUNK, 1024), (SHARD, 1024), ("row", "x"))
    return tmp_path / "array"


def test_dask_loses_rows_in_silence_where_its_chunks_are_smaller_than_shards(array: Path) -> None:
    for _ in range(ATTEMPTS):
        out = zarr.open_array(array, mode="r+")
        out[:] = 0
        da.store(da.from_array(ROWS, (CHUNK, 1024)), out, lock=False, scheduler="threads", num_workers=16)
        read = read_rows(open_array(array), 0, len(ROWS))
        if not np.array_equal(read, ROWS):
            lost = ~read.any(axis=1)
            assert np.array_equal(read[~lost], ROWS[~lost])
            assert lost.sum() % CHUNK == 0
            return
    pytest.fail(f"dask wrote every row in each of {ATTEMPTS} attempts: this has been mended")


def test_a_task_of_ours_cannot_write_a_part_of_a_shard(array: Path) -> None:
    for start in range(0, 256, CHUNK):
        with pytest.raises(AssertionError, match="a task must"):
            write_shard(array, start, ROWS[start : start + CHUNK])
    assert not (array / "c").exists()


def test_a_graph_of_whole_shards_loses_nothing(array: Path) -> None:
    tasks = [dask_task(array, start, ROWS[start : start + SHARD]) for _ in range(3) for start in range(0, 256, SHARD)]
    da.compute(*tasks, scheduler="threads", num_workers=16)
    assert np.array_equal(read_rows(open_array(array), 0, len(ROWS)), ROWS)


def dask_task(array: Path, start: int, rows: np.ndarray) -> object:
    from dask import delayed

    return delayed(write_shard, pure=False)(array, start, rows)
