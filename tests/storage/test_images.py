"""Image files: what their headers say, pictures and arrays, and that none is read in part, by mistake or by damage."""

import io
import pickle
import struct
import zlib
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
from storage.images import SUFFIXES, BadFile, ImageFacts, Limits, read, survey

RANDOM = np.random.default_rng(0)


def noise(*shape: int, dtype: Any = np.uint8, top: int | None = None) -> np.ndarray:
    return RANDOM.integers(0, top or np.iinfo(dtype).max, shape, dtype, endpoint=True)


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
        (ome(PhysicalSizeX=-0.5, PhysicalSizeY=0), (None, None, None)),
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
    (facts,) = survey(path)
    assert facts.pixel_um == pytest.approx(pixel_um)
    assert facts == ImageFacts((1, 1, 3, 9, 11), (3, 9, 11), "uint8", "uint8", ("channel0",), facts.pixel_um)


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ({"metadata": {"axes": "CYX", "Channel": {"Name": ["DAPI", "Actin", "GFP"]}}}, ("DAPI", "Actin", "GFP")),
        (
            {"metadata": {"axes": "CYX", "Channel": {"Name": ["GFP", "GFP", "GFP"]}}},
            ("channel0", "channel1", "channel2"),
        ),
        ({"metadata": {"axes": "CYX"}}, ("channel0", "channel1", "channel2")),
        ({"photometric": "rgb", "planarconfig": "separate"}, ("red", "green", "blue")),
    ],
)
def test_channels_have_the_names_that_the_file_gives_them(
    how: dict[str, Any], names: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(3, 9, 11), ome=True, **{"photometric": "minisblack", **how})
    assert survey(path)[0].channels == names


# pictures


def png(pixels: np.ndarray, bits: int, colours: int) -> bytes:
    """A PNG of that many bits and that colour type, written by hand."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    each_bit = (pixels.reshape(len(pixels), -1, 1) >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(each_bit.astype(np.uint8).reshape(len(pixels), -1), axis=1)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, colours, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(3 << bits))) if colours == 3 else b""
    data = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_grey_png_gives_the_values_in_the_file(bits: int, tmp_path: Path) -> None:
    path, dtype = tmp_path / "a.png", "uint16" if bits == 16 else "uint8"
    pixels = noise(9, 11, dtype=np.uint16, top=2**bits - 1).astype(dtype)
    path.write_bytes(png(pixels, bits, 0))
    (facts,) = survey(path)
    stored_dtype = "bool" if bits == 1 else dtype
    assert facts == ImageFacts((1, 1, 1, 9, 11), (9, 11), dtype, stored_dtype, ("channel0",))
    np.testing.assert_array_equal(read(path, facts), pixels[None, None, None], strict=True)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("colours", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_samples_of_a_png_are_channels(colours: int, samples: int, bits: int, tmp_path: Path) -> None:
    path, pixels = tmp_path / "a.png", noise(9, 11, samples, dtype=np.dtype(f"u{bits // 8}"))
    path.write_bytes(png(pixels, bits, colours))
    (facts,) = survey(path)
    assert (facts.shape, facts.stored_shape) == ((1, samples, 1, 9, 11), pixels.shape)
    np.testing.assert_array_equal(read(path, facts), pixels.transpose(2, 0, 1)[None, :, None], strict=True)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_palette_is_read_as_its_colours(bits: int, tmp_path: Path) -> None:
    path, indices = tmp_path / "a.png", noise(9, 11, top=2**bits - 1)
    path.write_bytes(png(indices, bits, 3))
    wanted = np.arange(3 << bits, dtype=np.uint8).reshape(-1, 3)[indices]
    frames = read(path, survey(path)[0])
    np.testing.assert_array_equal(frames, wanted.transpose(2, 0, 1)[None, :, None], strict=True)


def test_a_palette_may_be_transparent(tmp_path: Path) -> None:
    path, image = tmp_path / "a.png", Image.fromarray(noise(9, 11, 3)).quantize(8)
    image.save(path, transparency=bytes(range(8)))
    wanted = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read(path, survey(path)[0])[0, :, 0], wanted.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3)])
def test_a_jpeg_is_read_as_pillow_reads_it(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "a.JPG"
    Image.fromarray(noise(*shape)).save(path, "JPEG")
    wanted = np.atleast_3d(np.asarray(Image.open(path))).transpose(2, 0, 1)[None, :, None]
    (facts,) = survey(path)
    box = (slice(0, 1), slice(0, 1), slice(0, 1), slice(3, 20), slice(40, 50))
    np.testing.assert_array_equal(read(path, facts), wanted, strict=True)
    np.testing.assert_array_equal(read(path, facts, box), wanted[box], strict=True)


def test_a_large_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(noise(100, 100), 8, 0))
    survey(path, Limits(picture_bytes=10_000))
    with pytest.raises(BadFile, match="10,000 bytes"):
        survey(path, Limits(picture_bytes=9_999))


# arrays


@pytest.mark.parametrize(
    ("shape", "order", "tczyx"),
    [
        ((9, 11), "YX", (1, 1, 1, 9, 11)),
        ((9, 3), "YX", (1, 1, 1, 9, 3)),
        ((5, 9, 11), "ZYX", (1, 1, 5, 9, 11)),
        ((9, 11, 3), "YXC", (1, 3, 1, 9, 11)),
        ((2, 5, 9, 11), "CZYX", (1, 2, 5, 9, 11)),
        ((5, 9, 11, 2), "ZYXC", (1, 2, 5, 9, 11)),
    ],
)
@pytest.mark.parametrize("dtype", ["bool", "<u2", ">i4", "f8"])
def test_an_array_is_read_by_its_rank(
    shape: tuple[int, ...], order: str, tczyx: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    path, pixels = tmp_path / "a.npy", noise(*shape, top=1 if dtype == "bool" else None).astype(dtype)
    np.save(path, pixels)
    (facts,) = survey(path)
    wanted = pixels.transpose([order.index(axis) for axis in "TCZYX" if axis in order]).reshape(tczyx)
    assert (facts.shape, facts.stored_shape, facts.stored_dtype) == (tczyx, shape, np.dtype(dtype).name)
    np.testing.assert_array_equal(read(path, facts), wanted)
    box = (slice(0, 1), slice(0, 1), slice(0, 1), slice(2, 7), slice(1, 3))
    np.testing.assert_array_equal(read(path, facts, box), wanted[box])
    assert read(path, facts, box).dtype == facts.dtype == ("uint8" if dtype == "bool" else np.dtype(dtype).name)


# all


def save_cmyk(path: Path) -> None:
    Image.new("CMYK", (9, 11)).save(path)


def save_two_frames(path: Path) -> None:
    Image.fromarray(noise(9, 11)).save(path, save_all=True, append_images=[Image.fromarray(noise(9, 11))])


def save_tiff(path: Path) -> None:
    data = io.BytesIO()
    tifffile.imwrite(data, noise(9, 11))
    path.write_bytes(data.getvalue())


@pytest.mark.parametrize(
    ("name", "save", "reason"),
    [
        ("cmyk.jpg", save_cmyk, "unsupported"),
        ("animated.png", save_two_frames, "unsupported"),
        ("notes.txt", save_tiff, "not_an_image"),
        ("noise.jpg", save_tiff, "not_an_image"),
    ],
)
def test_what_would_be_read_in_part_or_changed_is_refused(
    name: str, save: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    save(tmp_path / name)
    with pytest.raises(BadFile) as caught:
        read(tmp_path / name, survey(tmp_path / name)[0])
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.npy"])
def test_a_file_that_changed_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write = {".tif": tifffile.imwrite, ".png": lambda to, of: Image.fromarray(of).save(to), ".npy": np.save}[
        path.suffix
    ]
    write(path, noise(9, 11))
    (facts,) = survey(path)
    write(path, noise(9, 12))
    with pytest.raises(BadFile) as caught:
        read(path, facts)
    assert caught.value.reason == "changed"


def test_a_box_of_nothing_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(noise(9, 11)))
    nothing = read(path, survey(path)[0], (slice(0, 1), slice(0, 1), slice(0, 1), slice(4, 4), slice(0, 11)))
    assert (nothing.shape, nothing.dtype) == ((1, 1, 1, 0, 11), np.uint8)


def test_a_damaged_file_does_not_spoil_the_one_read_beside_it(tmp_path: Path) -> None:
    """tifffile tells of the loss in its log only, and the log belongs to all threads."""
    good, bad = tmp_path / "good.ome.tif", tmp_path / "bad.ome.tif"
    tifffile.imwrite(good, noise(2, 3, 2, 40, 50, dtype=np.uint16), ome=True, metadata={"axes": "TZCYX"})
    bad.write_bytes(good.read_bytes()[:6000])

    def opens(path: Path) -> bool:
        try:
            read(path, survey(path)[0])
        except BadFile:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opens, [good, bad] * 50)) == [True, False] * 50


def test_a_refusal_reaches_another_process_whole() -> None:
    error = pickle.loads(pickle.dumps(BadFile("truncated", "page 3 is missing")))
    assert isinstance(error, BadFile)
    assert isinstance(error, DataError)
    assert (error.reason, error.found) == ("truncated", "page 3 is missing")
    assert str(error).startswith("the file is truncated. Found: page 3 is missing. ")


def test_suffixes_are_those_of_the_kinds_of_files() -> None:
    assert {".tif", ".tiff", ".jpg", ".jpeg", ".png", ".npy"} == SUFFIXES
