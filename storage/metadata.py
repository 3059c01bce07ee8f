"""What the metadata of a Zarr array (zarr.json, or .zarray of version 2) says, checked before zarr acts on it.

A few hundred bytes can declare terabytes, or name a codec that runs code (pickle). Only what is known to be
harmless passes: numbers, codecs of the lists here, and chunks that fit in memory.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storage.errors import DataError, MissingError

DOCUMENTS = ("zarr.json", ".zarray")
MOST_DOCUMENT_BYTES = 16 << 20
MOST_CHUNK_BYTES = 256 << 20
MOST_CHUNKS_PER_SHARD = 1 << 20
NUMCODECS = frozenset(
    (
        *("zlib", "gzip", "bz2", "lzma", "zstd", "lz4", "blosc"),
        *("delta", "fixedscaleoffset", "quantize", "bitround", "shuffle", "packbits"),
        *("crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3"),
    )
)
"""Those of numcodecs that return numbers and nothing else: no pickle, json2, msgpack, vlen."""
CODECS = frozenset(("bytes", "endian", "transpose", "zstd", "gzip", "blosc", "crc32c")) | {
    f"numcodecs.{name}" for name in NUMCODECS
}
DTYPES = (
    "bool",
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
)


@dataclass(frozen=True)
class ArrayMetadata:
    """An array as it is declared.

    chunk: what is decoded together.  stored: what one object holds, a chunk or a shard.  codecs: names.
    prefix, separator: how the key of an object is made of its index.
    """

    document: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: tuple[int, ...]
    stored: tuple[int, ...]
    codecs: tuple[str, ...]
    prefix: str
    separator: str

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of objects along each axis."""
        return tuple(math.ceil(size / part) for size, part in zip(self.shape, self.stored, strict=True))

    @property
    def bytes(self) -> int:
        """Size of the whole array in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def key(self, index: Iterable[int]) -> str:
        """Path below the array of the object of that index."""
        return self.separator.join((*([self.prefix] if self.prefix else []), *map(str, index))) or "0"

    def objects(self) -> Iterator[str]:
        """Paths below the array of all its objects."""
        return map(self.key, itertools.product(*map(range, self.grid)))


def read_metadata(array: Path) -> ArrayMetadata:
    """What the array in that directory is declared to be.

    Raises MissingError: there is no array.  Raises DataError: the declaration is damaged, is of something
    that is no numbers, names a codec that is not allowed, or chunks above MOST_CHUNK_BYTES.
    """
    found = next((array / name for name in DOCUMENTS if (array / name).is_file()), None)
    if found is None:
        raise MissingError(
            f"there is no Zarr array at {array}", f"neither {' nor '.join(DOCUMENTS)} is there", "Check the path"
        )
    try:
        if found.stat().st_size > MOST_DOCUMENT_BYTES:
            raise ValueError(f"it has {found.stat().st_size} bytes")
        content = json.loads(found.read_bytes())
        declared = _version_3(content) if found.name == "zarr.json" else _version_2(content)
        _check(declared)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{found} does not declare an array that can be read", said, "Make it again, or restore it from a copy"
        ) from None
    return declared


def _version_3(content: Any) -> ArrayMetadata:
    if (content["zarr_format"], content["node_type"]) != (3, "array"):
        raise ValueError(f"zarr_format {content['zarr_format']} {content['node_type']}")
    if content["chunk_grid"]["name"] != "regular":
        raise ValueError(f"the chunk grid {content['chunk_grid']['name']}")
    stored = chunk = _sizes(content["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = [_name(one) for one in content["codecs"]]
    if codecs == ["sharding_indexed"]:
        inner = content["codecs"][0]["configuration"]
        chunk, codecs = _sizes(inner["chunk_shape"]), [_name(one) for one in inner["codecs"]]
        if not {_name(one) for one in inner["index_codecs"]} <= {"bytes", "crc32c"}:
            raise ValueError("the index of its shards is compressed")
    encoding = content["chunk_key_encoding"]
    name = _name(encoding)
    configuration = encoding.get("configuration", {}) if isinstance(encoding, dict) else {}
    separator = configuration.get("separator", {"default": "/", "v2": "."}[name])
    if content["data_type"] not in DTYPES:
        raise ValueError(f"the data type {content['data_type']}")
    shape, dtype, prefix = _sizes(content["shape"]), np.dtype(content["data_type"]), "c" if name == "default" else ""
    return ArrayMetadata("zarr.json", shape, dtype, chunk, stored, tuple(codecs), prefix, separator)


def _version_2(content: Any) -> ArrayMetadata:
    if content["zarr_format"] != 2:
        raise ValueError(f"zarr_format {content['zarr_format']}")
    if not isinstance(content["dtype"], str):
        raise ValueError(f"the data type {content['dtype']}")
    chunk = _sizes(content["chunks"])
    codecs = [one["id"] for one in (*(content["filters"] or ()), content["compressor"]) if one is not None]
    unknown = sorted(set(codecs) - NUMCODECS)
    if unknown:
        raise ValueError(f"the codec {', '.join(unknown)}, and allowed are {', '.join(sorted(NUMCODECS))}")
    shape, dtype, separator = _sizes(content["shape"]), np.dtype(content["dtype"]), content.get("dimension_separator")
    names = tuple(f"numcodecs.{name}" for name in codecs)
    return ArrayMetadata(".zarray", shape, dtype, chunk, chunk, names, "", separator or ".")


def _check(declared: ArrayMetadata) -> None:
    if declared.dtype.kind not in "biuf":
        raise ValueError(f"the data type {declared.dtype}, which is no number")
    if declared.separator not in ("/", "."):
        raise ValueError(f"the separator {declared.separator!r}")
    unknown = sorted(set(declared.codecs) - CODECS)
    if unknown:
        raise ValueError(f"the codec {', '.join(unknown)}, and allowed are {', '.join(sorted(CODECS))}")
    parts = list(zip(declared.stored, declared.chunk, strict=False))
    if not len(declared.shape) == len(declared.stored) == len(declared.chunk) or any(
        chunk < 1 or stored < chunk or stored % chunk for stored, chunk in parts
    ):
        raise ValueError(f"chunks of {declared.chunk} in objects of {declared.stored}")
    if math.prod(declared.chunk) * declared.dtype.itemsize > MOST_CHUNK_BYTES:
        raise ValueError(f"chunks of {declared.chunk} {declared.dtype}, which are more than {MOST_CHUNK_BYTES} bytes")
    if math.prod(declared.stored) // math.prod(declared.chunk) > MOST_CHUNKS_PER_SHARD:
        raise ValueError(f"shards of more than {MOST_CHUNKS_PER_SHARD} chunks")


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or any(type(one) is not int or one < 0 for one in values):
        raise ValueError(f"the sizes {values}")
    return tuple(values)


def _name(codec: Any) -> str:
    name = codec if isinstance(codec, str) else codec["name"]
    if not isinstance(name, str):
        raise ValueError(f"the codec {name}")
    return name
