"""How inner loops become machine code."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


def kernel(loop: Loop) -> Loop:
    """Compile `loop` with numba when it is first called; it runs without the GIL.

    What was compiled is kept for the next process, until the file of `loop` changes: so a kernel calls no
    function of another file. Threads call it at the same time: so it keeps no state.
    """
    try:
        return numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:  # neither __pycache__ nor the user's cache folder can be written
        return numba.njit(nogil=True)(loop)
