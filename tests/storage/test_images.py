"""Image files: what their headers say, and that none is read in part, by mistake or by damage."""

import contextlib
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from storage.errors import DataError
from storage.images import ImageFacts, read, survey

RANDOM = np.random.default_rng(0)


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def ome(**metadata: Any) -> dict[str, Any]:
    return {"ome": True, "metadata": {"axes": "ZYX", **metadata}}


SIZES = {"PhysicalSizeZ": 0.8, "PhysicalSizeY": 0.25, "PhysicalSizeX": 0.5}
IMAGEJ = {"axes": "ZYX", "spacing": 0.8}


@pytest.mark.parametrize(
    ("how", "pixel_um"),
    [
        (ome(**SIZES), (0.8, 0.25, 0.5)),
        (ome(**{f"{name}Unit": "nm" for name in SIZES}, **SIZES), (0.8e-3, 0.25e-3, 0.5e-3)),
        (ome(PhysicalSizeX=0.5), (None, None, 0.5)),
        (ome(PhysicalSizeX=0.5, PhysicalSizeXUnit="pixel"), (None, None, None)),
        (ome(), (None, None, None)),
        ({"imagej": True, "resolution": (2, 4), "metadata": {**IMAGEJ, "unit": "um"}}, (0.8, 0.25, 0.5)),
        ({"imagej": True, "resolution": (2, 4), "metadata": {"axes": "ZYX", "unit": "\\u00B5m"}}, (None, 0.25, 0.5)),
        ({"imagej": True, "resolution": (2, 4), "metadata": {**IMAGEJ, "unit": "inch"}}, (None, None, None)),
        ({"imagej": True, "resolution": (2, 4), "metadata": IMAGEJ}, (None, None, None)),
        ({"resolution": (72, 72), "photometric": "minisblack"}, (None, None, None)),
    ],
)
def test_the_size_of_a_voxel_is_what_the_file_says(
    how: dict[str, Any], pixel_um: tuple[float | None, ...], tmp_path: Path
) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, noise(3, 9, 11), **how)
    facts = survey(path)
    assert facts.pixel_um == pytest.approx(pixel_um)
    assert facts == ImageFacts((1, 1, 3, 9, 11), (3, 9, 11), "uint8", ("channel0",), facts.pixel_um)


def save_jpeg(path: Path) -> None:
    Image.fromarray(noise(40, 50, 3)).save(path)


def save_png(path: Path) -> None:
    Image.fromarray(noise(40, 50)).save(path)


def save_tiff(**how: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, noise(2, 3, 2, 40, 50, dtype=np.uint16), **how)


WHOLE: dict[str, Callable[[Path], None]] = {
    "a.jpg": save_jpeg,
    "a.png": save_png,
    "plain.tif": save_tiff(photometric="minisblack", metadata={"axes": "TZCYX"}),
    "a.ome.tif": save_tiff(ome=True, metadata={"axes": "TZCYX"}),
    "imagej.tif": save_tiff(imagej=True, metadata={"axes": "TZCYX"}),
    "deflate.tif": save_tiff(compression="zlib", photometric="minisblack", metadata={"axes": "TZCYX"}),
}


def whole(path: Path) -> tuple[ImageFacts, np.ndarray]:
    return survey(path), read(path)


@pytest.mark.parametrize("share", [0, 0.01, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_was_cut_off_is_refused(name: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / name
    WHOLE[name](path)
    facts, frames = whole(path)
    assert frames.shape == facts.shape
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"cannot be decoded whole|truncated"):
        whole(path)


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_without_its_last_bytes_gives_all_pixels_or_none(name: str, tmp_path: Path) -> None:
    """In some formats nothing that counts is at the end."""
    path = tmp_path / name
    WHOLE[name](path)
    facts, frames = whole(path)
    data = path.read_bytes()
    for missing in (1, 2, 10, 100, 500, 1000):
        path.write_bytes(data[:-missing])
        with contextlib.suppress(DataError):
            cut_facts, cut_frames = whole(path)
            assert cut_facts == facts
            assert np.array_equal(cut_frames, frames)


def save_text(path: Path) -> None:
    path.write_text("file,label\na,1\n")


def save_cmyk(path: Path) -> None:
    Image.new("CMYK", (9, 11)).save(path)


def save_deep_colour(path: Path) -> None:
    path.write_bytes(imagecodecs.png_encode(noise(9, 11, 3, dtype=np.uint16)))


def save_two_samples(path: Path) -> None:
    tifffile.imwrite(path, noise(9, 11, 2), photometric="minisblack", planarconfig="contig")


def save_two_images(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(noise(9, 11))
        file.write(noise(8, 8))


def save_two_positions(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(noise(9, 11))
        file.write(noise(9, 11))


def save_part_of_two_files(path: Path) -> None:
    """Two OME-TIFF files, one time point each; either describes both."""
    ids = [uuid.UUID(int=number).urn for number in (0, 1)]
    names = [path.name, "second.ome.tif"]
    blocks = "".join(
        f'<TiffData FirstT="{t}" PlaneCount="1"><UUID FileName="{names[t]}">{ids[t]}</UUID></TiffData>' for t in (0, 1)
    )
    for name, one in zip(names, ids, strict=True):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{one}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="11" SizeY="9" SizeC="1" SizeZ="1" '
            f'SizeT="2"><Channel ID="Channel:0" SamplesPerPixel="1"/>{blocks}</Pixels></Image></OME>'
        )
        tifffile.imwrite(path.with_name(name), noise(9, 11), description=xml, metadata=None)


@pytest.mark.parametrize(
    ("name", "save", "reason"),
    [
        ("text.tif", save_text, "not a TIFF file"),
        ("text.jpg", save_text, "cannot identify"),
        ("text.png", save_text, "cannot identify"),
        ("cmyk.jpg", save_cmyk, "CMYK"),
        ("deep.png", save_deep_colour, "16"),
        ("two_samples.tif", save_two_samples, "samples of one pixel"),
        ("two_images.tif", save_two_images, "several images"),
        ("two_positions.ome.tif", save_two_positions, "several images"),
        ("first.ome.tif", save_part_of_two_files, "several files"),
    ],
)
def test_what_would_be_read_in_part_or_changed_is_refused(
    name: str, save: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    save(tmp_path / name)
    with pytest.raises(DataError, match=reason):
        whole(tmp_path / name)


def test_a_thumbnail_is_no_second_image(tmp_path: Path) -> None:
    path, pixels = tmp_path / "a.tif", noise(9, 11)
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, metadata=None)
        file.write(noise(3, 4, 3), subfiletype=1, metadata=None, photometric="rgb")
    assert np.array_equal(read(path)[0, 0, 0], pixels)


def test_a_header_may_not_ask_for_more_memory_than_the_file_fills(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, noise(40, 50), metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for tag, value in (("ImageWidth", 1 << 20), ("ImageLength", 1 << 20), ("RowsPerStrip", 1 << 20)):
            file.pages[0].tags[tag].overwrite(value)
    with pytest.raises(DataError, match=r"truncated|cannot be decoded"):
        survey(path)


def test_a_damaged_file_does_not_spoil_the_one_read_beside_it(tmp_path: Path) -> None:
    """tifffile tells of the loss in its log only, and the log belongs to all threads."""
    good, bad = tmp_path / "good.ome.tif", tmp_path / "bad.ome.tif"
    WHOLE["a.ome.tif"](good)
    bad.write_bytes(good.read_bytes()[:6000])

    def opens(path: Path) -> bool:
        try:
            whole(path)
        except DataError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opens, [good, bad] * 50)) == [True, False] * 50


def test_real_tiffs_are_read_as_tifffile_reads_them_or_refused(real_data: Path) -> None:
    paths = sorted(path for path in (real_data / "tiffs").rglob("*") if path.suffix in (".tif", ".tiff"))
    same = 0
    for path in paths:
        try:
            facts, frames = whole(path)
        except DataError:
            continue
        wanted = tifffile.imread(path, series=0)
        assert frames.shape == facts.shape
        assert frames.dtype == facts.dtype
        assert wanted.shape == facts.stored_shape
        assert np.array_equal(np.sort(frames, axis=None), np.sort(wanted, axis=None), equal_nan=True)
        same += 1
    assert same > 40
