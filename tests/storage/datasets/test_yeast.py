"""The yeast cells: pairs of TIFFs become one array and its table, and only the published pixels are accepted."""

import csv
import hashlib
import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from storage.datasets import yeast
from storage.datasets.yeast import ARCHIVE, fetch
from storage.errors import DataError, ServiceError

CELLS = ["AAC1_1_rfp_10", "AAC1_1_rfp_9", "AAC1_3_rfp_1", "AAH1_2_rfp_4"]
TABLE = (
    "index,protein,field,cell,gfp_file\r\n0,AAC1,1,10,AAC1_1_rfp_10_gfp.tif\r\n1,AAC1,1,9,AAC1_1_rfp_9_gfp.tif\r\n"
    "2,AAC1,3,1,AAC1_3_rfp_1_gfp.tif\r\n3,AAH1,2,4,AAH1_2_rfp_4_gfp.tif\r\n"
)


def silent(done: int, total: int) -> None:
    pass


def tiff(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, pixels)
    return data.getvalue()


@pytest.fixture
def pixels() -> np.ndarray:
    """N Y X C: red, green."""
    return np.random.default_rng(0).random((len(CELLS), 8, 8, 2), np.float32)


@pytest.fixture
def published(pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the repository; the module takes its content for the published one."""
    path = tmp_path / "elsewhere.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for cell, image in zip(CELLS, pixels, strict=True):
            for channel, name in enumerate(("rfp", "gfp")):
                inside = f"yeast_model/toy_dataset/images/{cell.split('_')[0]}/{cell}_{name}.tif"
                archive.writestr(f"cells-1/{inside}", tiff(image[..., channel]))
        for unwanted in ("AAC1_4_rfp_1_gfp", "AAC1_4_rfp_1_rfp"):  # a fourth field
            archive.writestr(f"cells-1/yeast_model/toy_dataset/images/AAC1/{unwanted}.tif", tiff(pixels[0, ..., 0]))
    lines = f"cells.csv {hashlib.sha256(TABLE.encode()).hexdigest()}\n"
    monkeypatch.setattr(yeast, "ARCHIVE", replace(ARCHIVE, address=path.as_uri()))
    monkeypatch.setattr(yeast, "TABLE", {"cells.csv": (1, hashlib.sha256(lines.encode()).hexdigest())})
    monkeypatch.setattr(yeast, "PIXELS", hashlib.sha256(pixels.tobytes()).hexdigest())
    return path


def test_pairs_become_an_array_and_its_table(published: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    folder = fetch(tmp_path / "cache", silent)
    assert {path.name for path in folder.iterdir()} == {"cells.csv", "cells_f32_64x64x2.npz"}
    assert (folder / "cells.csv").read_bytes().decode() == TABLE
    np.testing.assert_array_equal(np.load(folder / "cells_f32_64x64x2.npz")["images"], pixels)
    published.unlink()
    assert fetch(tmp_path / "cache", silent) == folder


def test_other_pixels_are_refused(published: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    folder = fetch(tmp_path / "cache", silent)
    np.savez(folder / "cells_f32_64x64x2.npz", images=np.nextafter(pixels, 2))
    with pytest.raises(DataError, match="other pixels"):
        fetch(tmp_path / "cache", silent)
    (folder / "cells_f32_64x64x2.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="not the published set"):
        fetch(tmp_path / "cache", silent)


def test_an_archive_of_something_else_leaves_nothing(published: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(published, "w") as archive:
        archive.writestr("cells-1/README.md", "moved")
    with pytest.raises(ServiceError, match="no cells"):
        fetch(tmp_path / "cache", silent)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_published_pairs_are_rows_of_the_array(real_data: Path, tmp_path: Path) -> None:
    folder = fetch(real_data, silent)
    with (folder / "cells.csv").open(newline="") as file:
        rows = {row["gfp_file"]: int(row["index"]) for row in csv.DictReader(file)}
    assert list(rows) == sorted(rows)  # the order in which pairs are packed
    images = np.load(folder / "cells_f32_64x64x2.npz")["images"]
    examples = sorted((folder / "raw_tif_examples").glob("*_gfp.tif"))
    assert examples
    for path in (folder / "raw_tif_examples").iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "packed").mkdir()
    yeast._pack(tmp_path, tmp_path / "packed")
    packed = np.load(tmp_path / "packed" / "cells_f32_64x64x2.npz")["images"]
    np.testing.assert_array_equal(packed, images[[rows[path.name] for path in examples]])
