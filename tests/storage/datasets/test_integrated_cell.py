"""The layout of the integrated cell, in small; its split is a function of the cell alone."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.datasets.integrated_cell import fetch, layout, split
from storage.ingest import ingest


def test_the_split_is_that_of_the_successor() -> None:
    """By its rule, step by step: seed before cell, SHA-512 in hexadecimal, the first five characters 0 to 9."""
    for cell in ("cell_0007", *map(str, range(200))):
        text = hashlib.sha512(f"1{cell}".encode()).hexdigest()
        digits = "".join(letter for letter in text if letter in "0123456789")[:5]
        expected = "test" if int(digits) <= 10_000 else "validation" if int(digits) <= 20_000 else "train"
        assert split(cell) == expected


def test_a_tenth_is_held_out_twice_and_another_seed_holds_out_others() -> None:
    cells = [str(number) for number in range(5000)]
    counts = Counter(split(cell) for cell in cells)
    assert 0.085 < counts["test"] / 5000 < 0.115
    assert 0.085 < counts["validation"] / 5000 < 0.115
    assert counts["train"] == 5000 - counts["test"] - counts["validation"]
    both = sum(split(cell) == split(cell, seed=2) == "test" for cell in cells)
    assert both < 0.3 * counts["test"]


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("TOM20/21742.png", {"structure": "TOM20", "cell": "21742", "split": split("21742")}),
        ("TOM20/21742.tif", None),
        ("21742.png", None),
        ("images/TOM20/21742.png", None),
    ],
)
def test_paths_tell_structure_and_cell(file: str, found: dict[str, str] | None, tmp_path: Path) -> None:
    assert layout(tmp_path).describe(file) == found


def test_it_becomes_images_of_membrane_structure_and_dna(tmp_path: Path) -> None:
    folder, pixels = tmp_path / "integrated_cell", np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    for structure, image in zip(("TOM20", "ZO1"), pixels, strict=True):
        (folder / structure).mkdir(parents=True)
        Image.fromarray(image).save(folder / structure / "21742.png")
    assert fetch(tmp_path, lambda done, total: None) == folder
    found = ingest(folder, tmp_path / "store.zarr", layout(folder))
    assert not found.quarantined
    (one,) = found.store.series
    assert (one.shape, one.channels) == ((2, 3, 1, 16, 16), ("membrane", "structure", "DNA"))
    assert one.pixel_um == (None, pytest.approx(0.1078, abs=1e-4), pytest.approx(0.1078, abs=1e-4))
    assert {row["structure"] for row in found.store.images.to_pylist()} == {"TOM20", "ZO1"}
