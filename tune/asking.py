"""In which order trials are begun, and what a searcher knows when it is asked: the same after any number of kills."""

import logging
from collections.abc import Sequence

from distgan.config.search_sections import PAUSING
from distgan.monitoring.pulse import STOP
from tune.catalogue import Catalogue, Trial
from tune.searchers import Listed, make_searcher
from tune.space import Point, Space

LOGGER = logging.getLogger(__name__)


class Asking:
    """Hands out the trials of a search: first those that have not ended, then new ones.

    Without a scheduler, trial k is chosen knowing the first k - slots + 1 trials and no others, so that it does not
    depend on which of them was fastest.  With one, it knows all that have ended; whom it knew is kept with it, and
    the searcher is asked again in the same way after a resume.  slots: trials at a time, of the beginning.
    """

    def __init__(self, catalogue: Catalogue, space: Space, slots: int) -> None:
        self.catalogue, self.space, self.slots = catalogue, space, slots
        self.searcher = make_searcher(space)
        self.pausing = space.tune.scheduler in PAUSING
        self.told: set[int] = set()
        self.asked = 0
        self.running: set[int] = set()
        known = catalogue.trials()
        for trial in known:
            if self._ask(trial.number, trial.told) != trial.point:
                LOGGER.warning(
                    "the searcher would choose trial %d differently now: it is another version", trial.number
                )
        again = space.tune.scheduler == "hyperband"  # it fills its brackets anew; ended trials only report
        self.waiting = [trial for trial in known if again or trial.result is None]

    @property
    def total(self) -> int:
        """Trials in all."""
        return self.searcher.total

    def next(self) -> Trial | bool | None:
        """A trial to run; False if none can be chosen yet; None if there is none left."""
        if (self.catalogue.folder / STOP).exists():
            return None
        if not self.pausing and len(self.running) >= self.slots:
            return False
        if not self.waiting:
            chosen = self._new()
            if not isinstance(chosen, Trial):
                return chosen
            self.waiting.append(chosen)
        trial = self.waiting.pop(0)
        self.running.add(trial.number)
        return trial

    def ended(self, number: int) -> None:
        """A trial is no longer running."""
        self.running.discard(number)

    def _new(self) -> Trial | bool | None:
        number = self.asked
        if number >= self.total:
            return None
        if self._spent():
            return False if self.running else None
        ended = {trial.number for trial in self.catalogue.trials() if trial.result}
        told: list[int] = []
        if not isinstance(self.searcher, Listed):
            told = sorted(ended)
            if self.space.tune.scheduler == "none":
                told = list(range(number - self.slots + 1))
                if not ended.issuperset(told):
                    return False
        return self.catalogue.add(number, self._ask(number, told), told)

    def _spent(self) -> bool:
        """Whether another trial might cost more than there is; a running one counts as if it ran to its end."""
        if self.space.tune.images is None:
            return False
        trials = self.catalogue.trials()
        costs = [self.catalogue.cost(trial) if trial.result else self.space.images for trial in trials]
        return sum(costs) + self.space.images > self.space.tune.images

    def _ask(self, number: int, told: Sequence[int]) -> Point:
        new = [self.catalogue.trial(one) for one in told if one not in self.told]
        self.told.update(told)
        self.asked = number + 1
        return self.searcher.ask(number, [(one.number, one.result.values if one.result else None) for one in new])
