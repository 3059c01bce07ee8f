"""Which samples come next: the endless concatenation of seeded permutations.

The stream is a function of (size, seed) alone; a position in it is the whole state. So a run that is
resumed, or that has another number of workers, sees the same samples in the same order.
"""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class Sampler:
    """The order in which `size` samples are seen, for ever."""

    def __init__(self, size: int, seed: int) -> None:
        assert size > 0, "a sampler needs samples"
        self.size = size
        self.seed = seed
        self._permuted = (-1, np.empty(0, np.int64))

    def take(self, position: int, count: int) -> Indices:
        """The samples at `position` .. `position + count` of the stream; they may span epochs."""
        parts = []
        while count > 0:
            epoch, offset = divmod(position, self.size)
            part = self._epoch(epoch)[offset : offset + count]
            parts.append(part)
            position += len(part)
            count -= len(part)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _epoch(self, epoch: int) -> Indices:
        if self._permuted[0] != epoch:
            random = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            self._permuted = (epoch, random.permutation(self.size))
        return self._permuted[1]
