"""What is done about a turn whose mean loss, gradient or running statistic is not finite: `[run] on_nonfinite`.

The mean has the same bits on every rank, so all decide alike without a word, before anything moves. On a GPU to look
at a number is to wait for the device; so "stop" there looks only where the run logs, evaluates and commits, and what
moved in between is never committed. "skip" and "rewind" must know at once, and wait once a turn.
"""

from typing import Literal

import torch

from distgan.engine.turns import Found, Passes
from distgan.method import Turn
from storage.errors import DivergedError

Policy = Literal["stop", "skip", "rewind"]
NEVER = 1 << 62


class NonFinite(DivergedError):
    """A turn was not finite.  images_seen: of the run before its batch."""

    def __init__(self, what: str, turn: str, images_seen: int) -> None:
        super().__init__(
            "training diverged",
            f"{what} is not a finite number in turn {turn} after {images_seen:,} images",
            "Lower the learning rate, or raise method.penalty; the last checkpoint is finite",
        )
        self.images_seen = images_seen


class Judge:
    """Decides whether a turn may move anything.

    skipped: turns of the run that moved nothing.  excused: images seen before batches of which a turn may be skipped
    when the policy is "rewind".
    """

    def __init__(self, policy: Policy, turns: tuple[Turn, ...], device: torch.device) -> None:
        self.policy = policy
        self.names = [turn.name for turn in turns]
        self.looks_later = policy == "stop" and device.type == "cuda"
        self.first = torch.tensor(NEVER, device=device)
        self.skipped = 0
        self.excused: set[int] = set()

    def accepts(self, turn: Turn, found: Found, passes: Passes, images_seen: int) -> bool:
        """Whether what a turn found may be applied.

        Raises NonFinite: it may not, and the run shall stop or go back.
        """
        if self.looks_later:
            here = images_seen * len(self.names) + self.names.index(turn.name)
            self.first = torch.where(found.finite, self.first, self.first.clamp(max=here))
            return True
        if found.finite:
            return True
        if self.policy == "stop" or (self.policy == "rewind" and images_seen not in self.excused):
            raise NonFinite(passes.fault(found), turn.name, images_seen)
        self.skipped += 1
        return False

    def look(self) -> None:
        """Wait for the device, and see whether a turn since the start was not finite.

        Raises NonFinite: one was; the same on every rank.
        """
        if self.looks_later and (first := int(self.first)) != NEVER:
            images_seen, turn = divmod(first, len(self.names))
            raise NonFinite("a term or gradient", self.names[turn], images_seen)
