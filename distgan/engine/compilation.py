"""The losses of a method's turns as machine code, penalties of slopes included: `[run] compile`, by torch.compile.

The first batches of a process wait for the compiler, less when its cache has what they need. Weights keep their
names, so that a checkpoint goes on with or without; the last bits are others.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from distgan.method import Step, Term, Turn
from storage.errors import RecipeError

CACHE = Path.home() / ".cache" / "distgan" / "inductor"
"""What the compiler keeps is read back as code: it belongs where only this user writes, as `__pycache__` does."""


class _Drawing(Step):
    """A step whose noise is drawn outside of what is compiled: else there would be new code for each of its seeds."""

    normal = torch.compiler.disable(Step.normal)
    uniform = torch.compiler.disable(Step.uniform)


def compiled(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The same turns, whose losses are compiled when they are first needed.

    Raises RecipeError: this machine has no C++ compiler.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise RecipeError(
            "run.compile needs a C++ compiler",
            f"there is no {compiler} on this machine",
            'Install g++, name another by the variable CXX, or set run.compile = "off"',
        )
    if os.environ.get("TORCHINDUCTOR_CACHE_DIR") in (None, default_cache_dir()):  # torch's own is in /tmp
        CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(CACHE)
    torch._inductor.config.compile_threads = 1  # no processes of its own
    torch._inductor.config.fx_graph_cache = False  # these two are kept as pickle; machine code is kept in any case
    torch._functorch.config.enable_autograd_cache = False
    torch._functorch.config.donated_buffer = False  # a graph is walked more than once where a term is `into` a network
    return tuple(_compiled(turn) for turn in turns)


def _compiled(turn: Turn) -> Turn:
    loss = torch.compile(turn.loss)

    def drawing(step: Step) -> Mapping[str, Tensor | Term]:
        # The dictionary of its state is shared, so what the loss assigns there arrives.
        return loss(_Drawing(**vars(step)))

    return replace(turn, loss=drawing)
