"""The fly's nerve cord: a section is an image with four label images, however its files are named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.datasets.vnc import CLASSES, fetch, layout


def silent(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("stack1/raw/00.tif", {"section": 0, "split": "train"}),
        ("stack1/raw/10.tif", {"section": 10, "split": "test"}),
        ("stack1/membranes/09.png", {"section": 9, "split": "train", "labels": "membranes"}),
        ("stack1/labels/labels00000019.png", {"section": 19, "split": "test", "labels": "labels"}),
        ("stack1/raw/00.png", None),
        ("stack2/raw/00.tif", None),
    ],
)
def test_paths_tell_section_and_kind(file: str, found: dict[str, object] | None, tmp_path: Path) -> None:
    assert layout(tmp_path).describe(file) == found


def test_each_section_has_an_image_and_four_label_images(real_data: Path) -> None:
    folder = fetch(real_data, silent)
    describe = layout(folder).describe
    found = [describe(path.relative_to(folder).as_posix()) for path in (folder / "stack1").rglob("*.*")]
    for section in range(20):
        kinds = sorted(str(one.get("labels", "image")) for one in found if one and one["section"] == section)
        assert kinds == ["image", "labels", "membranes", "mitochondria", "synapses"]


def opened(path: Path) -> tuple[str, np.ndarray]:
    """Pillow's name of a pixel, and the pixels."""
    with Image.open(path) as image:
        return image.mode, np.asarray(image)


def test_masks_are_what_exceeds_half_of_their_file_s_range(real_data: Path) -> None:
    """The traps the module tells of: files of 1 and of 8 bits side by side, the latter with grey edges."""
    folder = fetch(real_data, silent) / "stack1"
    odd = {"membranes": (list(range(20)), 0.204), "mitochondria": ([1, 7, 18], 0.0539), "synapses": ([2], 0.0056)}
    for kind, (sections, share) in odd.items():
        images = [opened(folder / kind / f"{section:02d}.png") for section in range(20)]
        mode = "L" if kind == "synapses" else "1"
        assert [section for section, (found, _) in enumerate(images) if found == mode] == sections
        assert np.mean([(image > image.max() / 2).mean() for _, image in images]) == pytest.approx(share, rel=0.01)
    for path in (folder / "labels").iterdir():
        assert set(np.unique(opened(path)[1])) <= set(CLASSES)
