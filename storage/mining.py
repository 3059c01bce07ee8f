"""Channels that were never imaged together: for each sample, look-alikes of every class (Osokin et al., section 3.3).

STORE/neighbours     N x classes x count: rows of this store, the nearest first
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.codecs import codec
from storage.errors import RecipeError
from storage.manifest import Facts
from storage.operations.neighbours import nearest
from storage.split import column_values, matching
from storage.store import create_array, open_array, read_rows, rows_per, write_shard

BLOCK_BYTES = 256 << 20


@dataclass(frozen=True)
class Neighbours:
    """What `prepare` looks for: the `count` samples of each value of the column `by` whose `channel` is nearest.

    subset: columns and values of the samples that may be found; name those that train, or held-out samples are
    found, too.
    """

    channel: str
    by: str
    count: int = 5
    subset: Mapping[str, Sequence[Any]] | None = None


def candidates(channels: Sequence[str], obs: pa.Table, how: Neighbours) -> dict[str, NDArray[np.int64]]:
    """Of each class the rows that may be found, rising.

    Raises RecipeError: no such channel or column, or a class has fewer samples than are wanted.
    """
    if how.channel not in channels:
        raise RecipeError(
            f"there is no channel {how.channel!r} to compare", f"there are {', '.join(channels)}", "Use one of these"
        )
    of_row = np.asarray([str(value) for value in column_values(obs, how.by)])
    allowed = matching(obs, how.subset or {})
    rows = {name: np.flatnonzero(allowed & (of_row == name)) for name in sorted(set(of_row.tolist()))}
    for name, members in rows.items():
        if len(members) < how.count:
            raise RecipeError(
                f"{how.by} {name} has too few samples to choose neighbours from",
                f"{len(members)}, and {how.count} are wanted",
                "Ask for fewer, or change prepare.neighbours.subset",
            )
    return rows


def mine(store: Path, channels: Sequence[str], obs: pa.Table, how: Neighbours) -> Facts:
    """Write the array of neighbours into a store whose images are written; what the manifest remembers of it.

    Distance: sum of squared differences of the channel's values; equal ones go by row.
    Raises RecipeError: as `candidates`.
    """
    rows = candidates(channels, obs, how)
    images = open_array(store / "images")
    channel = list(channels).index(how.channel)
    found = np.empty((obs.num_rows, len(rows), how.count), np.int64)
    step = images.chunks[0] * rows_per(images.nbytes // images.shape[0] * images.chunks[0], BLOCK_BYTES)

    def features(start: int) -> np.ndarray[Any, Any]:
        block = read_rows(images, start, start + step)[:, channel]
        return block.reshape(len(block), -1).astype(np.float32)

    blocks = range(0, obs.num_rows, step)
    for index, members in enumerate(rows.values()):
        theirs = np.concatenate([features(at)[members[(members >= at) & (members < at + step)] - at] for at in blocks])
        for at in blocks:
            found[at : at + step, index] = members[nearest(features(at), theirs, how.count)]
    create_array(
        store / "neighbours", found.shape, "int64", found.shape, found.shape, ("sample", "class", "rank"), codec("zstd")
    )
    write_shard(store / "neighbours", 0, found)
    return {"by": how.by, "channel": how.channel, "classes": list(rows), "count": how.count}
