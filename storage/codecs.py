"""How the chunks of a store are packed. Whatever is chosen, a chunk carries a checksum: a flipped bit raises.

zstd         level                      the default; noise of a camera shrinks to about 0.7
blosc        cname, clevel, shuffle     several compressors behind a shuffle of bytes or bits
delta+zstd   level                      differences of neighbours, of integers
bitround     keepbits, level            LOSSY: floats keep so many bits of their mantissa (Klöwer et al. 2021,
                                        doi:10.1038/s43588-021-00156-2)
none                                    for fast local disks
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from zarr.abc.codec import ArrayArrayCodec, BytesBytesCodec
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.codecs.numcodecs import BitRound, Delta
from zarr.errors import ZarrUserWarning

from storage.errors import RecipeError

Value = int | str
Chain = tuple[list[ArrayArrayCodec], list[BytesBytesCodec]]

_LEVELS = range(1, 23)
ALLOWED: Mapping[str, Mapping[str, range | tuple[str, ...]]] = {
    "zstd": {"level": _LEVELS},
    "blosc": {
        "cname": ("blosclz", "lz4", "lz4hc", "zlib", "zstd"),
        "clevel": range(10),
        "shuffle": ("noshuffle", "shuffle", "bitshuffle"),
    },
    "delta+zstd": {"level": _LEVELS},
    "bitround": {"keepbits": range(1, 24), "level": _LEVELS},
    "none": {},
}
"""Name -> key -> its values."""
DEFAULTS: Mapping[str, Value] = {"level": 1, "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle"}


@dataclass(frozen=True)
class Codec:
    """A way of packing, all its keys set.  name, keys: as in the table above."""

    name: str
    keys: Mapping[str, Value]

    @property
    def lossy(self) -> bool:
        """Whether values come back changed."""
        return self.name == "bitround"

    def chain(self, dtype: str) -> Chain:
        """Filters and compressors of `zarr.create_array`, for an array of that dtype.

        Raises RecipeError: such values cannot be packed so.
        """
        kind = np.dtype(dtype).kind
        if (self.name == "delta+zstd" and kind not in "iu") or (self.lossy and kind != "f"):
            raise RecipeError(
                f"the codec {self.name} cannot pack {dtype}",
                "it would lose the last bits of sums" if kind == "f" else "it rounds floats",
                "Choose delta+zstd for integers, bitround for floats, or zstd for both",
            )
        match self.name:
            case "blosc":
                return [], [BloscCodec(**self.keys), Crc32cCodec()]  # type: ignore[arg-type]
            case "none":
                return [], [Crc32cCodec()]
        filters: list[ArrayArrayCodec] = []
        with numcodecs_allowed():
            if self.name == "delta+zstd":
                filters = [Delta(dtype=dtype)]
            elif self.lossy:
                filters = [BitRound(keepbits=self.keys["keepbits"])]
        return filters, [ZstdCodec(level=int(self.keys["level"]), checksum=True)]


def codec(name: str, **keys: Value) -> Codec:
    """The codec of that name; keys left out have their defaults.

    Raises RecipeError: there is no such codec or key, or a value is out of range.
    """
    if not isinstance(name, str) or name not in ALLOWED:
        raise RecipeError(f"there is no codec {name!r}", f"there are {', '.join(ALLOWED)}", "Choose one of these")
    allowed = ALLOWED[name]
    for key, value in keys.items():
        if key not in allowed:
            known = ", ".join(allowed) or "none"
            raise RecipeError(f"the codec {name} has no key {key!r}", f"its keys: {known}", "Leave it out")
        if isinstance(value, bool) or not isinstance(value, (int, str)) or value not in allowed[key]:
            raise RecipeError(f"{key} of the codec {name} is out of range", repr(value), f"Use {_told(allowed[key])}")
    whole = {key: keys.get(key, DEFAULTS.get(key)) for key in allowed}
    if None in whole.values():
        raise RecipeError(
            "bitround rounds values, and how much is not said", "no keepbits", f"Set {_told(allowed['keepbits'])}"
        )
    return Codec(name, {key: value for key, value in whole.items() if value is not None})


def _told(values: range | tuple[str, ...]) -> str:
    return f"{values[0]} to {values[-1]}" if isinstance(values, range) else "one of " + ", ".join(values)


DEFAULT = codec("zstd")
_filters = threading.Lock()


@contextlib.contextmanager
def numcodecs_allowed() -> Iterator[None]:
    """Inside, zarr does not warn, at every opening, that delta and bitround are not in its specification.

    The filters of `warnings` belong to all threads: one at a time.
    """
    with _filters, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Numcodecs codecs are not in the Zarr version 3", ZarrUserWarning)
        yield
