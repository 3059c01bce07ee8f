"""The layout of LIN, in small: split, protein and cell are in the path, red and green in the pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.datasets.lin import fetch, layout
from storage.ingest import ingest

FOLDER = "LIN_Normalized_WT_size-48-80"


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (f"{FOLDER}_train/Alp14/cell000001.png", {"split": "train", "protein": "Alp14", "cell": 1}),
        (f"{FOLDER}_test/Tea1/cell012345.png", {"split": "test", "protein": "Tea1", "cell": 12345}),
        (f"{FOLDER}_6class_conditional_train/Alp14/Alp14/cell000001.png", None),  # links to the same images
        (f"{FOLDER}_train/Alp14/cell000001.txt", None),
        ("LIN_Normalized_WT_size-96-160_train/Alp14/cell000001.png", None),
    ],
)
def test_paths_tell_split_protein_and_cell(file: str, found: dict[str, object] | None, tmp_path: Path) -> None:
    assert layout(tmp_path).describe(file) == found


def test_it_becomes_images_of_red_green_and_blue(tmp_path: Path) -> None:
    folder, pixels = tmp_path / "lin", np.random.default_rng(0).integers(0, 256, (4, 48, 80, 3), np.uint8)
    places = [(split, protein) for split in ("train", "test") for protein in ("Alp14", "Tea1")]
    for (split, protein), image in zip(places, pixels, strict=True):
        path = folder / f"{FOLDER}_{split}" / protein / "cell000001.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(image).save(path)
    assert fetch(tmp_path, lambda done, total: None) == folder
    found = ingest(folder, tmp_path / "store.zarr", layout(folder))
    assert not found.quarantined
    (one,) = found.store.series
    assert (one.shape, one.channels) == ((4, 3, 1, 48, 80), ("red", "green", "blue"))
    assert sorted((row["split"], row["protein"]) for row in found.store.images.to_pylist()) == sorted(places)
