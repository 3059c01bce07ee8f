"""TIFF files: all kinds come out as T C Z Y X with the values written, whole or in part, or are refused."""

import csv
import math
import tracemalloc
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from storage.images import BadFile, Box, ImageFacts, Limits, read, survey
from storage.tiff_header import describe_ome

RANDOM = np.random.default_rng(0)
GREY = {"photometric": "minisblack"}


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    if dtype is bool:
        return RANDOM.integers(0, 2, shape).astype(bool)
    if np.issubdtype(dtype, np.floating):
        return RANDOM.normal(size=shape).astype(dtype)
    bounds = np.iinfo(dtype)
    return RANDOM.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)


def tczyx(pixels: np.ndarray, axes: str) -> np.ndarray:
    """The array as T C Z Y X, booleans as 0 and 1."""
    order = [axes.index(axis) for axis in "TCZYX" if axis in axes]
    shape = [pixels.shape[axes.index(axis)] if axis in axes else 1 for axis in "TCZYX"]
    return pixels.transpose(order).reshape(shape).astype("uint8" if pixels.dtype == bool else pixels.dtype)


def some_box(shape: tuple[int, ...]) -> Box:
    t, c, z, y, x = (slice(*sorted(RANDOM.integers(0, size + 1, 2).tolist())) for size in shape)
    return t, c, z, y, x


def check(path: Path, wanted: np.ndarray, image: int = 0) -> ImageFacts:
    """The file holds `wanted`, T C Z Y X, and every part of it can be read alone."""
    facts = survey(path)[image]
    assert (facts.shape, facts.dtype, facts.image) == (wanted.shape, wanted.dtype.name, image)
    np.testing.assert_array_equal(read(path, facts), wanted, strict=True)
    for _ in range(8):
        box = some_box(facts.shape)
        np.testing.assert_array_equal(read(path, facts, box), wanted[box], strict=True)
    return facts


PAGES = {"metadata": None, "contiguous": False, **GREY}
TILED = {"tile": (16, 32), "compression": "zlib"}
KINDS: dict[str, tuple[tuple[int, ...], Any, str, dict[str, Any]]] = {
    **{
        f"plane of {np.dtype(t)}": ((37, 43), t, "YX", GREY)
        for t in (bool, "u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8")
    },
    "big endian": ((5, 37, 43), "u2", "ZYX", {"byteorder": ">", **GREY}),
    "big endian, deflate": ((5, 37, 43), "f4", "ZYX", {"byteorder": ">", "compression": "zlib", **GREY}),
    "BigTIFF": ((5, 37, 43), "u2", "ZYX", {"bigtiff": True, **GREY}),
    "OME": ((2, 3, 4, 37, 43), "u2", "TCZYX", {"ome": True, "metadata": {"axes": "TCZYX"}, **GREY}),
    "OME, deflate": ((2, 3, 4, 37, 43), "u2", "TCZYX", {"ome": True, "metadata": {"axes": "TCZYX"}, **GREY, **TILED}),
    "OME, other order": ((2, 3, 4, 37, 43), "u2", "ZTCYX", {"ome": True, "metadata": {"axes": "ZTCYX"}, **GREY}),
    "OME, colours": ((4, 37, 43, 3), "u1", "ZYXC", {"ome": True, "metadata": {"axes": "ZYXS"}, "photometric": "rgb"}),
    "OME, pyramid": ((2, 64, 64), "u1", "CYX", {"ome": True, "metadata": {"axes": "CYX"}, "subifds": 1, **GREY}),
    "ImageJ": ((2, 4, 3, 37, 43), "u2", "TZCYX", {"imagej": True, "metadata": {"axes": "TZCYX"}}),
    "ImageJ, colours": ((4, 37, 43, 3), "u1", "ZYXC", {"imagej": True, "metadata": {"axes": "ZYXS"}}),
    "named axes": ((2, 3, 4, 37, 43), "f4", "TCZYX", {"metadata": {"axes": "TCZYX"}, **GREY}),
    "named axes, X first": ((37, 43, 5), "u1", "XYZ", {"metadata": {"axes": "XYZ"}, **GREY}),
    "pages": ((9, 37, 43), "u2", "ZYX", {"metadata": None, **GREY}),
    "strips": ((3, 37, 43), "u2", "ZYX", {"rowsperstrip": 5, **PAGES}),
    "tiles": ((3, 37, 43), "u2", "ZYX", {"tile": (16, 32), **PAGES}),
    "volume in one page": ((12, 37, 43), "u1", "ZYX", {"volumetric": True, "tile": (4, 16, 16), **GREY}),
    "colours": ((37, 43, 3), "u1", "YXC", {"photometric": "rgb"}),
    "colours, planar": ((3, 37, 43), "u2", "CYX", {"photometric": "rgb", "planarconfig": "separate"}),
    "colours, planar tiles": ((3, 37, 43), "u2", "CYX", {"photometric": "rgb", "planarconfig": "separate", **TILED}),
    "colours, alpha": ((37, 43, 4), "u1", "YXC", {"photometric": "rgb", "extrasamples": ["unassalpha"], **TILED}),
    "grey, alpha": ((37, 43, 2), "u2", "YXC", {"planarconfig": "contig", "extrasamples": ["unassalpha"], **GREY}),
    "white is zero": ((37, 43), "u1", "YX", {"photometric": "miniswhite"}),
    **{
        f"{name}": ((3, 37, 43), "u2", "ZYX", {"compression": name, "rowsperstrip": 8, **PAGES})
        for name in ("zlib", "lzw", "zstd", "lzma", "packbits", "jpeg2000", "jpegxl", "png")
    },
    "predictor": ((3, 37, 43), "u2", "ZYX", {"compression": "lzw", "predictor": True, **PAGES}),
    "predictor of floats": ((3, 37, 43), "f4", "ZYX", {"compression": "zlib", "predictor": True, **PAGES}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_is_read_whole_and_in_part(kind: str, tmp_path: Path) -> None:
    shape, dtype, axes, how = KINDS[kind]
    path, pixels = tmp_path / "a.tif", noise(*shape, dtype=bool if dtype is bool else np.dtype(dtype))
    with tifffile.TiffWriter(
        path, **{key: how[key] for key in ("ome", "imagej", "bigtiff", "byteorder") if key in how}
    ) as file:
        options = {key: value for key, value in how.items() if key not in ("ome", "imagej", "bigtiff", "byteorder")}
        file.write(pixels, **options)
        if "subifds" in how:
            file.write(pixels[:, ::2, ::2], subfiletype=1, **GREY)
    facts = check(path, tczyx(pixels, axes))
    assert facts.stored_dtype == pixels.dtype.name
    assert len(survey(path)) == 1


@pytest.mark.parametrize("bits", [2, 4, 10, 12, 14, 24])
def test_packed_bits_are_unpacked_and_not_rescaled(bits: int, tmp_path: Path) -> None:
    path, dtype = tmp_path / "a.tif", "u1" if bits < 8 else "u2" if bits < 16 else "u4"
    pixels = RANDOM.integers(0, 1 << bits, (37, 44)).astype(dtype)
    each_bit = (pixels[:, :, None] >> np.arange(bits)[::-1]) & 1
    packed = np.packbits(each_bit.reshape(37, -1), axis=1).tobytes()
    tifffile.imwrite(path, pixels.astype("u1"), rowsperstrip=37, metadata=None, **GREY)
    data = path.read_bytes()
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages[0].tags
        tags["BitsPerSample"].overwrite(bits)
        tags["StripByteCounts"].overwrite(len(packed))
        tags["StripOffsets"].overwrite(len(data))
    with path.open("ab") as stream:
        stream.write(packed)
    check(path, tczyx(pixels, "YX"))


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_a_lossy_compression_is_decoded_as_tifffile_does(photometric: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(64, 96, 3), compression="jpeg", photometric=photometric, tile=(32, 32))
    check(path, tczyx(tifffile.imread(path), "YXC"))


def test_images_of_other_kinds_follow_each_other(tmp_path: Path) -> None:
    path, first, second = tmp_path / "a.tif", noise(9, 11), noise(4, 8, 10, dtype=np.uint16)
    with tifffile.TiffWriter(path) as file:
        file.write(first, metadata=None)
        file.write(noise(3, 4, 3), subfiletype=1, metadata=None, photometric="rgb")  # a thumbnail
        file.write(second, metadata=None, contiguous=False, **GREY)
    assert len(survey(path)) == 2
    check(path, tczyx(first, "YX"), 0)
    check(path, tczyx(second, "ZYX"), 1)


def test_positions_of_an_ome_file_are_images(tmp_path: Path) -> None:
    path, positions = tmp_path / "a.ome.tif", noise(3, 9, 11)
    with tifffile.TiffWriter(path, ome=True) as file:
        for number, pixels in enumerate(positions):
            file.write(
                pixels, metadata={"axes": "YX", "PhysicalSizeX": number + 1, "Channel": {"Name": f"GFP{number}"}}
            )
    for number, pixels in enumerate(positions):
        facts = check(path, tczyx(pixels, "YX"), number)
        assert (facts.channels, facts.pixel_um) == ((f"GFP{number}",), (None, None, number + 1))


def test_strips_may_lie_in_any_order(tmp_path: Path) -> None:
    path, pixels = tmp_path / "a.tif", noise(3, 40, 11)
    tifffile.imwrite(path, pixels, rowsperstrip=20, **PAGES)
    with tifffile.TiffFile(path, mode="r+b") as file:
        offsets = file.pages[2].tags["StripOffsets"]
        offsets.overwrite(offsets.value[::-1])
    pixels[2] = np.roll(pixels[2], 20, axis=0)
    check(path, tczyx(pixels, "ZYX"))


def test_a_file_that_only_has_thumbnails_is_read(tmp_path: Path) -> None:
    path, pixels = tmp_path / "a.tif", noise(9, 11)
    tifffile.imwrite(path, pixels, subfiletype=1)
    check(path, tczyx(pixels, "YX"))


@pytest.mark.parametrize("how", [{"rowsperstrip": 32}, {"tile": (32, 32)}])
def test_memory_is_that_of_the_box(how: dict[str, Any], tmp_path: Path) -> None:
    path, pixels = tmp_path / "a.tif", np.tile(noise(64, 64, dtype=np.uint16), (64, 32))
    tifffile.imwrite(path, pixels, compression="zlib", **how)
    facts = survey(path)[0]
    box = (slice(0, 1), slice(0, 1), slice(0, 1), slice(1000, 1010), slice(5, 2000))
    tracemalloc.start()
    part = read(path, facts, box)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(part[0, 0, 0], pixels[1000:1010, 5:2000])
    assert peak < pixels.nbytes / 8


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


def save_unknown_pixels(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((9, 11)), metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["SampleFormat"].overwrite(99)


def save(shape: tuple[int, ...], dtype: Any = np.uint8, **how: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, np.zeros(shape, dtype), **how)


@pytest.mark.parametrize(
    ("save_it", "found"),
    [
        (save((9, 9, 11), photometric="rgb", planarconfig="separate"), "planes saved as samples"),
        (save((9, 11), np.complex64), "128|64 bits"),
        (save((2, 3, 9, 11), metadata={"axes": "TRYX"}, **GREY), "axes TRYX"),
        (save((2, 3, 9, 11, 3), imagej=True, metadata={"axes": "ZCYXS"}), "axes ZCYXS"),
        (save_unknown_pixels, "sample format 99"),
        (save_part_of_two_files, "second.ome.tif"),
    ],
)
def test_what_would_be_read_wrong_is_refused(save_it: Callable[[Path], None], found: str, tmp_path: Path) -> None:
    save_it(tmp_path / "first.ome.tif")
    with pytest.raises(BadFile, match=found) as caught:
        survey(tmp_path / "first.ome.tif")
    assert caught.value.reason == "unsupported"


def test_a_file_that_changes_between_survey_and_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(9, 11))
    facts = survey(path)[0]
    tifffile.imwrite(path, noise(9, 12))
    with pytest.raises(BadFile, match="changed"):
        read(path, facts)


def test_limits_count_what_is_declared(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((10, 100, 100), np.uint8), compression="zlib", contiguous=False, **GREY)
    survey(path, Limits(declared_bytes=100_000, pages=10))
    for limits in (Limits(declared_bytes=99_999), Limits(pages=9), Limits(ratio=2, ratio_above=99_999)):
        with pytest.raises(BadFile, match="declares more") as caught:
            survey(path, limits)
        assert caught.value.reason == "declares_too_much"


def test_ome_xml_may_not_place_more_planes_than_a_file_may_have() -> None:
    xml = '<OME><Image><Pixels><TiffData PlaneCount="2000000000"/></Pixels></Image></OME>'
    with pytest.raises(BadFile, match="2,000,000,000"):
        describe_ome(xml, 1, Limits())


def test_real_tiffs_are_read_as_the_catalogue_says(real_data: Path) -> None:
    with (real_data / "tiffs" / "catalog.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    accepted = 0
    for row in rows:
        path = real_data / "tiffs" / row["file"]
        if row["read"] != "ok":
            with pytest.raises(BadFile) as caught:
                read(path, survey(path)[0])
            assert caught.value.reason in ("truncated", "undecodable"), row["file"]
            continue
        facts = survey(path)[0]
        frames = read(path, facts)
        assert ("x".join(map(str, facts.stored_shape)), facts.stored_dtype) == (row["shape"], row["dtype"]), row["file"]
        low, high = (float({"False": 0, "True": 1}.get(row[key], row[key])) for key in ("min", "max"))
        close = 1e-3 if facts.dtype == "float16" else 1e-6
        assert math.isclose(frames.min(), low, rel_tol=close, abs_tol=1e-9), row["file"]
        assert math.isclose(frames.max(), high, rel_tol=close, abs_tol=1e-9), row["file"]
        with tifffile.TiffFile(path) as file:
            wanted, axes = file.series[0].asarray(maxworkers=1), file.series[0].axes
        wanted = tczyx(wanted, axes.replace("S", "C").replace("I", "Z").replace("Q", "Z"))
        np.testing.assert_array_equal(frames, wanted, strict=True, err_msg=row["file"])
        box = some_box(facts.shape)
        np.testing.assert_array_equal(read(path, facts, box), wanted[box], strict=True, err_msg=row["file"])
        accepted += 1
    assert accepted == sum(row["read"] == "ok" for row in rows) > 40
