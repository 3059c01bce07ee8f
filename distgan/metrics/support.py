"""How many different images a generator makes, by the birthday paradox (Arora and Zhang 2017; Han et al., part D).

If among s samples there are two alike about as often as not, there are about s^2 different ones.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.9
"""Intersection over union of two samples that are the same one."""
BATCHES = (100, 200, 500, 1000, 2000, 5000)
"""Sizes of batches; those of the paper begin and end so, and it does not name the others."""
RUNS = 10
BLOCK = 256
"""Samples that are compared with all others at once."""


def overlaps(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Intersection over union of all pairs.

    masks: N ..., label images of a sample counted together.  Returns N N; 1 of two that are empty.
    """
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    both = (flat @ flat.T).astype(np.float64)
    sizes = both.diagonal()
    either = sizes[:, None] + sizes[None] - both
    found: NDArray[np.float64] = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return found


def least_distances(
    found: NDArray[np.float64], batches: Sequence[int], repeats: int, seed: int
) -> Mapping[int, NDArray[np.float64]]:
    """Of batches of each size, drawn without replacement, 1 - IU of the two samples most alike.

    found: overlaps of all samples, N N.  Returns for each size that is at most N as many numbers as repeats.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, 12]))
    apart = 1 - found
    np.fill_diagonal(apart, np.inf)
    least = {}
    for size in (one for one in batches if 2 <= one <= len(found)):
        drawn = [random.permutation(len(found))[:size] for _ in range(repeats)]
        least[size] = np.asarray([apart[np.ix_(rows, rows)].min() for rows in drawn])
    return least


def halved(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Label images N L H W at half their edges: pixels of which a half or more was there; an odd last line is cut."""
    count, structures, height, width = masks.shape
    even = masks[..., : height // 2 * 2, : width // 2 * 2]
    found: NDArray[np.bool_] = even.reshape(count, structures, height // 2, 2, width // 2, 2).mean((3, 5)) >= 0.5
    return found


def least_along(masks: NDArray[np.bool_], batches: Sequence[int]) -> tuple[Mapping[int, float], tuple[int, int]]:
    """1 - IU of the two most alike among the first so many samples, and which two of all are most alike.

    masks: N ..., two or more; label images of a sample counted together.  Returns of each size that is at most N.
    """
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    areas = flat.sum(1)
    nearest, partner = np.full(len(flat), np.inf), np.zeros(len(flat), np.int64)
    for start in range(0, len(flat), BLOCK):
        part = slice(start, min(start + BLOCK, len(flat)))
        both = flat[part] @ flat[: part.stop].T
        either = areas[part, None] + areas[None, : part.stop] - both
        found = np.where(either > 0, both / np.maximum(either, 1), 1.0)
        found[np.arange(part.start, part.stop)[:, None] <= np.arange(part.stop)] = -np.inf  # with those before it
        partner[part] = found.argmax(1)
        nearest[part] = 1 - found.max(1)
    so_far = np.minimum.accumulate(nearest)
    last = int(nearest.argmin())
    sizes = (size for size in batches if 2 <= size <= len(flat))
    return {size: float(so_far[size - 1]) for size in sizes}, (int(partner[last]), last)


def support(least: Mapping[int, NDArray[np.float64]]) -> int | None:
    """The square of the least size of which half of the batches or more have two alike; None if there is none."""
    sizes = [size for size, apart in sorted(least.items()) if (apart < 1 - ALIKE).mean() >= 0.5]
    return sizes[0] ** 2 if sizes else None
