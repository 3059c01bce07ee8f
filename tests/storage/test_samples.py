"""Sample arrays become patch stores: every value as it was, every row with its metadata, whatever packed them."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from storage import samples as module
from storage.errors import DataError, DiskError, MissingError, RecipeError
from storage.layout import Layout, Samples
from storage.manifest import read_manifest
from storage.patches import KIND, PatchArrays, PatchStore
from storage.samples import ingest_samples
from storage.verify import verify

NYXC = np.random.default_rng(0).integers(0, 4000, (50, 8, 9, 3)).astype(np.uint16)


def table(rows: int = 50, **columns: Any) -> str:
    columns = {"index": list(range(rows)), "well": [f"B{row % 12:02}" for row in range(rows)]} | columns
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    return "\n".join(lines) + "\n"


def ingested(folder: Path, values: np.ndarray, axes: str = "", *, csv: str = "", **layout: Any) -> PatchStore:
    """Save as NPY, ingest."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "cells.npy", values)
    (folder / "cells.csv").write_text(csv)
    chosen = Samples("cells.npy", axes, table="cells.csv" if csv else "")
    return ingest_samples(folder, folder / "store", Layout(samples=chosen, **layout))


def in_source_order(store: PatchStore) -> np.ndarray:
    images = store.read(np.arange(store.shape[0]))
    return images[np.argsort(store.obs.column("source_row").to_numpy())]


@pytest.mark.parametrize("axes", ["NYXC", "CNYX", "NCYX", "XYNC"])
def test_any_order_of_axes(axes: str, tmp_path: Path) -> None:
    store = ingested(tmp_path, NYXC.transpose(["NYXC".index(one) for one in axes]), axes, csv=table())
    assert store.shape == (50, 3, 8, 9)
    assert np.array_equal(in_source_order(store), NYXC.transpose(0, 3, 1, 2))
    rows = store.obs.column("source_row").to_pylist()
    assert store.obs.column("index").to_pylist() == rows != sorted(rows) == list(range(50))
    assert store.obs.column("well").to_pylist() == [f"B{row % 12:02}" for row in rows]
    assert store.channels == ("channel0", "channel1", "channel2")
    assert verify(store.path) == ()


@pytest.mark.parametrize(("axes", "sizes"), [("NZYX", (1, 5, 8, 9)), ("NCZYX", (3, 5, 8, 9)), ("ZNYXC", (3, 5, 8, 9))])
def test_three_dimensional_samples(axes: str, sizes: tuple[int, ...], tmp_path: Path) -> None:
    whole = np.random.default_rng(1).random((7, *sizes), np.float32)
    stored = whole.transpose(["NCZYX".index(one) for one in axes]) if "C" in axes else whole[:, 0]
    store = ingested(tmp_path, stored, axes, pixel_um=(0.5, 0.1, 0.1))
    assert store.shape == (7, *sizes)
    assert store.pixel_um == (0.5, 0.1, 0.1)
    assert np.array_equal(in_source_order(store), whole)


@pytest.mark.parametrize(
    ("values", "dtype", "value_range"),
    [
        (NYXC[..., 0] % 100, "uint8", (0, 255)),
        (NYXC[..., 0] > 2000, "bool", (0, 1)),
        (NYXC[..., 0], "uint16", (int(NYXC[..., 0].min()), int(NYXC[..., 0].max()))),
        (NYXC[..., 0], ">u2", (int(NYXC[..., 0].min()), int(NYXC[..., 0].max()))),
        (NYXC[..., 0] / 7 - 9, "float32", None),
        (np.full((50, 4, 4), 3), "uint16", (3, 4)),
    ],
)
def test_values_are_never_rescaled(values: np.ndarray, dtype: str, value_range: Any, tmp_path: Path) -> None:
    values = values.astype(dtype)
    store = ingested(tmp_path, values)
    assert store.dtype == {"bool": "uint8", ">u2": "uint16"}.get(dtype, dtype)
    assert np.array_equal(in_source_order(store)[:, 0], values)
    assert store.value_range == (value_range or (values.min(), values.max()))
    said = store.manifest.facts["samples"]
    assert (said["file"], said["shape"], said["min"]) == ("cells.npy", list(values.shape), values.min())
    assert said["dtype"] == np.dtype(dtype).name


def test_any_run_of_rows_is_a_mixture_and_the_seed_decides_which(tmp_path: Path) -> None:
    orders = []
    for seed in (0, 0, 1):
        np.save(tmp_path / "cells.npy", np.zeros((1000, 2, 2), np.uint8))
        store = ingest_samples(tmp_path / "cells.npy", tmp_path / f"{len(orders)}", Layout(), seed=seed)
        orders.append((store.digest, store.obs.column("source_row").to_pylist()))
    assert orders[0] == orders[1] != orders[2]
    firsts = np.asarray(orders[0][1][:100])
    assert 350 < firsts.mean() < 650
    assert sorted(orders[0][1]) == list(range(1000))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(save: Callable[..., None], tmp_path: Path) -> None:
    save(tmp_path / "cells.npz", images=NYXC, names=np.arange(50))
    layout = Layout(channels=("a", "b", "c"), samples=Samples("cells.npz", "NYXC", "images"))
    store = ingest_samples(tmp_path, tmp_path / "store", layout)
    assert np.array_equal(in_source_order(store), NYXC.transpose(0, 3, 1, 2))
    assert store.channels == ("a", "b", "c")
    assert sorted(one.name for one in store.path.iterdir()) == ["MANIFEST.json", "images", "obs.parquet"]
    for name, reason in (("nuclei", "has no array 'nuclei'"), ("", "is not clear")):
        with pytest.raises(RecipeError, match=reason):
            ingest_samples(tmp_path, tmp_path / "x", Layout(samples=Samples("cells.npz", "NYXC", name)))
    save(tmp_path / "one.npz", NYXC)
    assert ingest_samples(tmp_path / "one.npz", tmp_path / "bare", Layout()).shape == (50, 3, 8, 9)


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_array(version: Any, tmp_path: Path) -> None:
    made = zarr.create_array(tmp_path / "cells", shape=NYXC.shape, chunks=(9, 8, 9, 3), dtype="u2", zarr_format=version)
    made[:] = NYXC
    store = ingest_samples(tmp_path / "cells", tmp_path / "store", Layout())
    assert np.array_equal(in_source_order(store), NYXC.transpose(0, 3, 1, 2))
    assert store.manifest.facts["samples"]["file"] == "cells"
    assert sorted(one.name for one in store.path.iterdir()) == ["MANIFEST.json", "images", "obs.parquet"]
    moved = ingest_samples((tmp_path / "cells").rename(tmp_path / "a"), tmp_path / "again", Layout())
    assert moved.manifest.facts["source"] == store.manifest.facts["source"]


@pytest.mark.parametrize("dtype", ["float64", "int64", "int16", "complex64", "float16", "S3"])
def test_other_dtypes_are_refused_with_advice(dtype: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"are not kept.*Convert it"):
        ingested(tmp_path, np.zeros((5, 4, 4), dtype))


def test_values_that_are_no_numbers_are_refused_and_counted(tmp_path: Path) -> None:
    values = np.zeros((50, 4, 4), np.float32)
    values[3, 1, :2], values[40, 0, 0], values[41] = np.nan, np.inf, -np.inf
    with pytest.raises(DataError, match="19 are NaN or infinite"):
        ingested(tmp_path, values)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((9, 8, 8), (9, 1, 8, 8)),
        ((9, 3, 8, 8), (9, 3, 8, 8)),
        ((9, 8, 8, 3), (9, 3, 8, 8)),
        ((9, 2, 8, 3), None),
        ((9, 8, 8, 8), None),
        ((9, 8), None),
        ((9, 1, 2, 8, 8), None),
    ],
)
def test_axes_are_guessed_only_where_one_answer_is_possible(shape: tuple[int, ...], found: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "cells.npy", np.zeros(shape, np.uint8))
    if found:
        assert ingest_samples(tmp_path / "cells.npy", tmp_path / "store", Layout()).shape == found
    else:
        with pytest.raises(RecipeError, match=r"axes of .* are not clear"):
            ingest_samples(tmp_path / "cells.npy", tmp_path / "store", Layout())


@pytest.mark.parametrize("axes", ["NYX", "NYYX", "NTYX", "CZYX", "NCZY", "NYXCZ"])
def test_axes_that_do_not_fit_are_refused(axes: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be the axes"):
        ingested(tmp_path, NYXC, axes)


def test_channels_must_be_as_many_as_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="3, and 2 names"):
        ingested(tmp_path, NYXC, "NYXC", channels=("DAPI", "Actin"))


@pytest.mark.parametrize(
    ("csv", "reason"),
    [
        (table(49), "49 rows for 50 samples"),
        (table(index=list(range(1, 51))), "does not run from 0"),
        (table(index=[0, *range(49)]), "does not run from 0"),
        (table(pixels=list(range(50))), "the column pixels"),
        ("a,a\n" + "1,2\n" * 50, "the column a"),
        ("a,b\n1\n", "Expected 2 columns"),
        ("\n", "Empty CSV"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(csv: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        ingested(tmp_path, NYXC, "NYXC", csv=csv)


def test_dates_stay_text_and_numbers_become_numbers(tmp_path: Path) -> None:
    csv = table(date=["2012-05-01"] * 50, dose=[0.3] * 50, time=["2012-05-01 10:00:00"] * 50)
    first = ingested(tmp_path, NYXC, "NYXC", csv=csv).obs.slice(0, 1).to_pylist()[0]
    assert (first["date"], first["dose"], first["time"]) == ("2012-05-01", 0.3, "2012-05-01 10:00:00")


def test_without_a_table_the_rows_are_still_known(tmp_path: Path) -> None:
    assert ingested(tmp_path, NYXC, "NYXC").obs.column_names == ["source_row", "pixels", "dhash"]


def test_what_is_not_there_or_is_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "cells.txt").write_text("1 2 3")
    np.save(tmp_path / "cells.npy", NYXC)
    for source, layout, error, reason in (
        (tmp_path / "x.npy", Layout(), MissingError, "nothing at"),
        (tmp_path, Layout(samples=Samples("cells.npy", "NYXC", table="x.csv")), MissingError, r"x\.csv"),
        (tmp_path, Layout(), MissingError, "no Zarr array"),
        (tmp_path / "cells.txt", Layout(), RecipeError, r"ends in '\.txt'"),
    ):
        with pytest.raises(error, match=reason):
            ingest_samples(source, tmp_path / "store", layout)


def test_a_killed_call_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full after some shards; the second call writes the others, and the end is the same."""
    monkeypatch.setattr("storage.patches.CHUNK_BYTES", 1000)
    np.savez(tmp_path / "cells.npz", NYXC)
    whole = ingest_samples(tmp_path / "cells.npz", tmp_path / "whole", Layout())
    written: list[int] = []
    write = module._write_shard

    def failing(arrays: Any, images: Any, order: Any, store: Path, task: tuple[int, int]) -> Any:
        if len(written) == 5:
            raise OSError(errno.ENOSPC, "full")
        written.append(task[0])
        return write(arrays, images, order, store, task)

    monkeypatch.setattr(module, "_write_shard", failing)
    with pytest.raises(DiskError):
        ingest_samples(tmp_path / "cells.npz", tmp_path / "store", Layout())
    assert not (tmp_path / "store").exists()
    monkeypatch.setattr(module, "_write_shard", lambda *task: (written.append(task[-1][0]), write(*task))[1])
    seen: list[tuple[int, int]] = []
    again = ingest_samples(
        tmp_path / "cells.npz", tmp_path / "store", Layout(), progress=lambda done, total: seen.append((done, total))
    )
    assert again.digest == whole.digest == read_manifest(again.path, KIND).digest
    starts = [start for start, _ in PatchArrays(whole.shape, whole.dtype, {}, {"name": "zstd"}).shards]
    assert len(starts) > 6
    assert sorted(written) == starts
    assert seen[-1] == (50, 50)


@pytest.mark.parametrize(
    ("folder", "samples", "channels"),
    [
        (
            "bbbc021_cells",
            Samples("cells_u16_68x68x3.npz", "NYXC", "images", "cells.csv"),
            ("DAPI", "Actin", "Tubulin"),
        ),
        ("yeast", Samples("cells_f32_64x64x2.npz", "NYXC", "images", "cells.csv"), ("red", "green")),
    ],
)
def test_real_cells(folder: str, samples: Samples, channels: tuple[str, ...], real_data: Path, tmp_path: Path) -> None:
    with np.load(real_data / folder / samples.file, allow_pickle=False) as arrays:
        cells = arrays["images"]
    store = ingest_samples(real_data / folder, tmp_path / "store", Layout(channels=channels, samples=samples))
    assert np.array_equal(in_source_order(store), cells.transpose(0, 3, 1, 2))
    assert store.value_range == (cells.min(), cells.max())
    assert store.obs.column("index").equals(store.obs.column("source_row"))
    assert store.channels == channels
