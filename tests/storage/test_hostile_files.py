"""Damaged and malicious files: each is read exactly right or refused with a reason, without a word in any log."""

import io
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tifffile
from PIL import Image

from storage.image_facts import Reason
from storage.images import BadFile, ImageFacts, read, survey

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 40, 48), np.uint8)
GREY = {"photometric": "minisblack"}
Case = tuple[str, bytes, str]
"""Name of the file, its bytes, and `good` (must be read), `bad` (must be refused) or `either`."""


def tiff(pixels: np.ndarray = PIXELS, **how: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **{**GREY, **how})
    return stream.getvalue()


PLAIN = {"metadata": None, "rowsperstrip": 16}
WHOLE = {
    "plain.tif": tiff(**PLAIN),
    "named.tif": tiff(metadata={"axes": "ZYX"}),
    "big.tif": tiff(bigtiff=True, **PLAIN),
    "ome.tif": tiff(ome=True, metadata={"axes": "ZYX"}),
    "imagej.tif": tiff(imagej=True, metadata={"axes": "ZYX"}),
    "deflate.tif": tiff(compression="zlib", **PLAIN),
    "ome_deflate.tif": tiff(compression="zlib", ome=True, metadata={"axes": "ZYX"}),
    "tiled.tif": tiff(tile=(16, 16), metadata=None),
}


def picture(format: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(stream, format)
    return stream.getvalue()


def npy(array: Any = PIXELS) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def truncations() -> Iterator[Case]:
    for name, data in {**WHOLE, "a.png": picture("PNG"), "a.jpg": picture("JPEG"), "a.npy": npy()}.items():
        yield name, data, "good"
        yield from ((f"{share}_{name}", data[: len(data) * share // 10], "bad") for share in range(10))
        yield from ((f"less_{less}_{name}", data[:-less], "either") for less in (1, 2, 5, 20, 100))


def edit(data: bytes, **tags: int) -> bytes:
    """The file with other values in its first directory, which gives up ResolutionUnit for a tag it does not have."""
    stream = io.BytesIO(data)
    with tifffile.TiffFile(stream, mode="r+b") as file:
        for name, value in tags.items():
            found = file.pages[0].tags
            if name in found:
                found[name].overwrite([value] * found[name].count, dtype=4)
            else:
                entry = struct.pack("<HHII", tifffile.TIFF.TAGS[name], 4, 1, value)
                stream.getbuffer()[found["ResolutionUnit"].offset :][:12] = entry
        return stream.getvalue()


EDITS: dict[str, tuple[int, ...]] = {
    "ImageWidth": (0, 1, 47, 49, 96, 1 << 20, (1 << 32) - 1),
    "ImageLength": (0, 1, 39, 41, 80, 1 << 20, (1 << 32) - 1),
    "BitsPerSample": (0, 1, 7, 12, 16, 32, 64, 99),
    "SamplesPerPixel": (0, 2, 3, 1000, 65535),
    "Compression": (0, 5, 6, 7, 8, 2, 4, 32773, 34712, 34925, 50000, 50002, 65000, 9999),
    "PhotometricInterpretation": (2, 3, 5, 6, 99),
    "RowsPerStrip": (0, 1, 15, 17, 40, 1 << 31),
    "StripOffsets": (0, 4, 1 << 30, (1 << 32) - 1),
    "StripByteCounts": (0, 1, 1 << 30, (1 << 32) - 1),
    "Predictor": (2, 3, 99, 34892),
    "PlanarConfiguration": (2, 7),
    "FillOrder": (2, 9),
    "SampleFormat": (2, 3, 4, 5, 6, 99),
}


def edits_of(*names: str) -> Callable[[], Iterator[Case]]:
    def cases() -> Iterator[Case]:
        for how in ({}, {"compression": "zlib"}):
            data = tiff(**PLAIN, **how)
            for name in names:
                yield from ((f"{name}_{v}_{len(data)}.tif", edit(data, **{name: v}), "either") for v in EDITS[name])

    return cases


def directories(count: int, back_to: int | None = None, subpages: int = 0) -> bytes:
    """A TIFF of `count` tiny pages, all of the same pixels; the chain may lead back to one of them."""
    tags = [(256, 4, 1, 4), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, 4)] + ([(330, 4, subpages, 8)] if subpages else [])
    size = 2 + 12 * len(tags) + 4
    entries = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    last = 8 + back_to * size if back_to is not None else 0
    following = [8 + size * number for number in range(1, count)] + [last]
    pages = b"".join(entries + struct.pack("<I", offset) for offset in following)
    return b"II*\0" + struct.pack("<I", 8) + pages + bytes(4 * subpages)


def rings() -> Iterator[Case]:
    yield from ((f"{n}_{back}.tif", directories(n, back), "bad") for n, back in ((1, 0), (3, 1), (300, 200), (9999, 9)))


def many_pages() -> Iterator[Case]:
    yield "pages.tif", directories(20_000), "good"
    yield "subpages.tif", directories(1, subpages=100_000), "bad"
    yield "many_subpages.tif", directories(200, subpages=1000), "bad"
    other = directories(100_000)
    yield "mixed.tif", other[:18] + struct.pack("<I", 2) + other[22:], "bad"


def tables_of_tags() -> Iterator[Case]:
    data = directories(1)
    for count in (0, 1, 4097, 65535):
        yield f"{count}.tif", data[:8] + struct.pack("<H", count) + data[10:], "bad"
    for entry in range(9):
        start = 10 + 12 * entry
        yield f"long_{entry}.tif", data[: start + 4] + b"\xff" * 4 + data[start + 8 :], "either"
        yield f"type_{entry}.tif", data[: start + 2] + b"\x63\0" + data[start + 4 :], "either"


def contradictions() -> Iterator[Case]:
    yield "wider.tif", edit(tiff(PIXELS[0], metadata=None), ImageWidth=96) + bytes(10_000), "bad"
    yield (
        "deeper.tif",
        edit(tiff(PIXELS[0].astype(">u2"), compression="jpeg2000", metadata=None), BitsPerSample=8),
        "bad",
    )
    signed = tiff(PIXELS.view(np.int8), **PLAIN)
    at = signed.index(struct.pack("<HH", 339, 3))
    yield "signed.tif", signed, "good"
    yield "sign_of_no_type.tif", signed[: at + 2] + b"\x63\0" + signed[at + 4 :], "bad"


def bombs() -> Iterator[Case]:
    for how in ({}, {"compression": "zlib"}, {"compression": "lzw"}):
        sizes = dict.fromkeys(("ImageWidth", "ImageLength", "RowsPerStrip"), 1 << 21)
        yield f"4_terabytes_{len(how)}.tif", edit(tiff(PIXELS[0], metadata=None, **how), **sizes), "bad"
    yield "zeros.tif", tiff(np.zeros((1, 9000, 9000), np.uint8), compression="zlib"), "bad"
    tall = zlib.compress(bytes(1 << 26))
    small = tiff(PIXELS[0], compression="zlib", metadata=None)
    yield "inflates.tif", edit(small, StripOffsets=len(small), StripByteCounts=len(tall)) + tall, "bad"
    jpeg = picture("JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    wide = jpeg[:frame] + struct.pack(">HH", 60000, 60000) + jpeg[frame + 4 :]
    yield "wide.jpg", wide, "bad"
    data = tiff(PIXELS[0], compression="jpeg", metadata=None)
    yield "wide.tif", edit(data, StripOffsets=len(data), StripByteCounts=len(wide)) + wide, "bad"
    for format in ("jpeg2000", "png"):
        data = tiff(PIXELS[0], compression=format, metadata=None)
        at = data.index(struct.pack(">II", 48, 40))
        yield f"{format}.tif", data[:at] + struct.pack(">II", 48, 1 << 25) + data[at + 8 :], "bad"
    data = tiff(PIXELS[0], compression="jpeg", metadata=None)
    half = jpeg[: len(jpeg) // 2]
    yield "half.tif", edit(data, StripOffsets=len(data), StripByteCounts=len(half)) + half, "bad"
    header = struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    yield "wide.png", picture("PNG")[:8] + chunk + picture("PNG")[33:], "bad"
    zeros = io.BytesIO()
    Image.new("L", (12000, 12000)).save(zeros, "PNG")
    yield "zeros.png", zeros.getvalue(), "bad"


OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0"
DimensionOrder="XYCZT" Type="uint8" SizeX="48" SizeY="40" SizeC="1" SizeZ="{z}" SizeT="1">
<Channel ID="Channel:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>"""


def described(description: str, **how: Any) -> bytes:
    return tiff(description=description, metadata=None, contiguous=False, **how)


def ome_xml() -> Iterator[Case]:
    yield "good.ome.tif", described(OME.format(z=3, data="<TiffData/>")), "good"
    for z in (-1, 0, 1, 2, 4, 1 << 40):
        yield f"{z}_planes.ome.tif", described(OME.format(z=z, data="<TiffData/>")), "bad"
    for count in (1, 2, 4, 1 << 40):
        block = f'<TiffData PlaneCount="{count}"/>'
        yield f"{count}_placed.ome.tif", described(OME.format(z=3, data=block)), "bad"
    yield "elsewhere.ome.tif", described(OME.format(z=3, data='<TiffData IFD="9"/>')), "bad"
    two = OME.format(z=3, data="<TiffData/>")
    image = two[two.index("<Image") : two.index("</OME>")]
    yield "second_image.ome.tif", described(two.replace("</OME>", image.replace("<TiffData/>", "") + "</OME>")), "bad"
    yield "nothing.ome.tif", described(OME.format(z=3, data="")), "bad"
    yield "no_number.ome.tif", described(OME.format(z="many", data="<TiffData/>")), "bad"
    yield "broken.ome.tif", described(OME.format(z=3, data="<TiffData>")), "bad"
    uuid = '<TiffData><UUID FileName="{}">urn:uuid:1</UUID></TiffData>'
    for other in ("second.tif", "/dev/zero", "../../fifo.tif"):
        yield f"spread_{len(other)}.ome.tif", described(OME.format(z=3, data=uuid.format(other))), "bad"


def entities() -> Iterator[Case]:
    lines = ['<!ENTITY a0 "aaaaaaaaaa">'] + [f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12)]
    bomb = f"<!DOCTYPE OME [{''.join(lines)}]>" + OME.format(z=3, data="<TiffData>&a11;</TiffData>")
    outside = '<!DOCTYPE OME [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + OME.format(z=3, data="<TiffData/>&x;")
    small = '<!DOCTYPE OME [<!ENTITY a "">]>' + OME.format(z=3, data="<TiffData/>")
    yield "small.ome.tif", described('<?xml version="1.0"?>' + small), "bad"
    yield "bomb.ome.tif", described('<?xml version="1.0"?>' + bomb), "bad"
    yield "outside.ome.tif", described('<?xml version="1.0"?>' + outside), "bad"


def other_metadata() -> Iterator[Case]:
    imagej = "ImageJ=1.54f\nimages={0}\nslices={0}\n"
    yield "good.tif", described(imagej.format(3)), "good"
    for count in (-1, 4, 1000, 10**15):
        yield f"imagej_{count}.tif", described(imagej.format(count)), "bad"
    yield "no_slices.tif", tiff(PIXELS[0], description="ImageJ=1.54f\nimages=9\n", metadata=None), "bad"
    for shape in ("[4, 40, 48]", "[3, 40, 96]", "[1000000000000, 40, 48]", "[]", "null"):
        yield f"shaped_{len(shape)}.tif", described(f'{{"shape": {shape}}}'), "bad"


def floats() -> Iterator[Case]:
    pixels = PIXELS.astype(np.float32)
    pixels[0, 0, :3] = np.nan, np.inf, -np.inf
    yield "plain.tif", tiff(pixels, metadata=None), "good"
    yield "deflate.tif", tiff(pixels, compression="zlib", predictor=True), "good"
    yield "array.npy", npy(pixels), "good"


def nothing() -> Iterator[Case]:
    for suffix in ("tif", "png", "jpg", "npy"):
        yield f"empty.{suffix}", b"", "bad"
    for start in (b"II", b"II*\0", b"II*\0\x08\0\0\0", b"II*\0\0\0\0\0", b"MM\0*\xff\xff\xff\xff", b"II+\0\x08\0\0\0"):
        yield f"start_{start.hex()}.tif", start, "bad"
    yield "empty_array.npy", npy(PIXELS[:0]), "bad"


def renamed() -> Iterator[Case]:
    for start in (b"file,label\na,1\n", b"PK\x03\x04", b"%PDF-1.7", b"\x1f\x8b\x08", b"%!PS-Adobe", bytes(100)):
        for suffix in ("tif", "tiff", "png", "jpg", "npy"):
            yield f"{start[:3].hex()}.{suffix}", start * 50, "bad"
    yield "picture.tif", picture("PNG"), "bad"
    yield "tiff.png", WHOLE["plain.tif"], "bad"
    yield "bitmap.png", picture("BMP"), "bad"
    yield "jpeg.png", picture("JPEG"), "good"


def arrays() -> Iterator[Case]:
    yield "objects.npy", npy(np.array([[print, {}]], object)), "bad"
    yield "fields.npy", npy(np.zeros((9, 9), [("a", "u1"), ("b", "f4")])), "bad"
    yield "text.npy", npy(np.array([["a", "b"]])), "bad"
    yield "complex.npy", npy(np.zeros((9, 9), complex)), "bad"
    yield from ((f"rank_{rank}.npy", npy(np.zeros((2,) * rank)), "bad") for rank in (0, 1, 5, 6))
    for shape in (b"(9, 40, 48), ", b"(-3,40, 48), ", b"(99999999,9),", b"(3, 40, 48)) ", b"f(3, 40, 48),"):
        yield f"shape_{shape.hex()}.npy", npy().replace(b"(3, 40, 48), ", shape), "bad"


def names() -> Iterator[Case]:
    for name in ("Ünïcödé 細胞 🔬", "two\nlines", "{braces} %s", "-rf", " ", "a" * 240):
        yield f"{name}.tif", WHOLE["plain.tif"], "good"


FAMILIES: dict[str, Callable[[], Iterator[Case]]] = {
    "truncations": truncations,
    "edited sizes": edits_of("ImageWidth", "ImageLength"),
    "edited pixels": edits_of("BitsPerSample", "SampleFormat", "SamplesPerPixel", "PhotometricInterpretation"),
    "edited codes": edits_of("Compression", "Predictor", "FillOrder", "PlanarConfiguration"),
    "edited strips": edits_of("RowsPerStrip", "StripOffsets", "StripByteCounts"),
    "rings": rings,
    "many pages": many_pages,
    "tables of tags": tables_of_tags,
    "contradictions": contradictions,
    "bombs": bombs,
    "OME-XML": ome_xml,
    "entities": entities,
    "other metadata": other_metadata,
    "floats": floats,
    "nothing": nothing,
    "renamed": renamed,
    "arrays": arrays,
    "names": names,
}


def reference(path: Path) -> np.ndarray:
    """What other programs read."""
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix in (".png", ".jpg"):
        return np.asarray(Image.open(path))
    return tifffile.imread(path, series=0)


def attempt(path: Path) -> list[tuple[ImageFacts, np.ndarray]]:
    """All images of the file; none if it is refused, and properly."""
    try:
        return [(facts, read(path, facts)) for facts in survey(path)]
    except BadFile as error:
        known = error.reason in get_args(Reason) and str(path.parent) not in str(error)
        if not known:
            raise
    return []


@pytest.mark.parametrize("family", FAMILIES)
def test_each_file_is_read_right_or_refused(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, data, verdict in FAMILIES[family]():
        path = tmp_path / name
        path.write_bytes(data)
        read_images = attempt(path)
        assert not caplog.records, name
        assert verdict != ("bad" if read_images else "good"), name
        if read_images:
            facts, frames = read_images[0]
            wanted = reference(path)
            caplog.clear()
            assert facts.stored_shape == wanted.shape, name
            assert [size for size in facts.shape if size > 1] == [size for size in wanted.shape if size > 1], name
            np.testing.assert_array_equal(frames.ravel(), wanted.ravel(), err_msg=name)


def test_bombs_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    for name, data, _ in bombs():
        path = tmp_path / name
        path.write_bytes(data)
        tracemalloc.start()
        with pytest.raises(BadFile):
            read(path, survey(path)[0])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 32 << 20, name


def test_what_is_no_regular_file_is_refused_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.tif")
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "ring.tif").symlink_to(tmp_path / "ring.tif")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "device.tif").symlink_to("/dev/zero")
    paths = [*tmp_path.iterdir(), tmp_path / "never.tif", tmp_path / "never.npy"]
    assert len(paths) == 7
    for path in paths:
        with pytest.raises(BadFile) as caught:
            survey(path)
        assert caught.value.reason == "unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize("suffix", ["tif", "png", "npy"])
def test_a_file_that_may_not_be_read_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"II*\0")
    path.chmod(0)
    with pytest.raises(BadFile) as caught:
        survey(path)
    assert caught.value.reason == "unreadable"


def test_the_corpus_is_large() -> None:
    assert len(FAMILIES) >= 16
    assert sum(1 for cases in FAMILIES.values() for _ in cases()) >= 200
