"""What the training thread of this process is at, so that another thread can see whether it hangs."""

import contextlib
from collections.abc import Iterator


class Activity:
    """Told by the thread that trains, at no cost; anybody may look.

    moves: how many beginnings and ends of steps and of collectives there were. They are the same on every
        rank, so those with the fewest moves are the ones that the others wait for.
    hurried: it is in a step, and so should move soon; else it is at something that may take long.
    waits: it is in a collective.
    turn: which of the method's it took last.
    chore: what it is at that may take long, in words; "" in most steps, and between them.
    """

    def __init__(self) -> None:
        self.moves = 0
        self.hurried = False
        self.waits = False
        self.turn = ""
        self.chore = "starts"

    @property
    def what(self) -> str:
        """In words."""
        turn = f" turn {self.turn}" if self.turn else " its first turn"
        if self.waits:
            return f"waits for the others, in{turn}" if self.hurried else "waits for the others"
        return f"computes{turn}" if self.hurried else self.chore or "is between two steps"

    @contextlib.contextmanager
    def doing(self, chore: str) -> Iterator[None]:
        """Around what may take long and is no step."""
        before, self.chore = self.chore, chore
        try:
            yield
        finally:
            self.chore = before

    @contextlib.contextmanager
    def step(self, *, hurried: bool) -> Iterator[None]:
        """Around a step of training.  hurried: not one of the first, which compile."""
        self.moves, self.hurried, self.chore = self.moves + 1, hurried, "" if hurried else "takes its first steps"
        try:
            yield
        finally:
            self.moves, self.hurried, self.chore = self.moves + 1, False, ""

    @contextlib.contextmanager
    def collective(self) -> Iterator[None]:
        """Around what returns only when every rank has come."""
        self.moves, self.waits = self.moves + 1, True
        try:
            yield
        finally:
            self.moves, self.waits = self.moves + 1, False
