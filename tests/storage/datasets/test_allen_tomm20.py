"""The field of stem cells: three stacks are one image and two label images that number the same cells."""

from pathlib import Path

import numpy as np
import tifffile

from storage.datasets.allen_tomm20 import fetch, layout

STACK = "TOMM20_pipeline_example_{}_segmentation.tiff"


def test_names_tell_the_image_and_its_label_images(tmp_path: Path) -> None:
    describe = layout(tmp_path).describe
    assert describe(STACK.format("structure")) == {"channel": "TOMM20"}
    assert describe(STACK.format("cell")) == {"labels": "cell"}
    assert describe(STACK.format("nucleus")) == {"labels": "nucleus"}
    assert describe(STACK.format("raw")) is None


def test_cells_and_nuclei_have_the_same_numbers(real_data: Path) -> None:
    folder = fetch(real_data, lambda done, total: None)
    cell, nucleus, structure = (
        tifffile.imread(folder / STACK.format(kind)) for kind in ("cell", "nucleus", "structure")
    )
    assert cell.shape == nucleus.shape == structure.shape == (65, 624, 924)
    assert set(np.unique(cell)) == set(np.unique(nucleus)) == set(range(14))
    assert set(np.unique(structure)) == {0, 255}
    inside = cell[nucleus > 0] == nucleus[nucleus > 0]
    assert inside.mean() > 0.99
    rim = np.ones(cell.shape, bool)
    rim[1:-1, 1:-1, 1:-1] = False
    assert not cell[rim].any()
