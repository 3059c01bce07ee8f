"""The fixture `bench`: two ways of doing one thing, measured in turns and printed as rows of one table.

Goals are printed and asserted nowhere: what else the machine does decides whether they are met.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.cuts import Cut
from storage.datasets import synthetic_embryos
from storage.ingest import ingest
from storage.preprocess import Preparation, prepare

Work = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of all threads of this process on all cores."""

    clock: float
    cpu: float

    def told(self, samples: int) -> str:
        if samples:
            return f"{samples / self.clock:,.0f} samples/s, {samples / self.cpu:,.0f} per CPU second"
        return f"{self.clock:.3g} s, CPU {self.cpu:.3g} s"


def cost(work: Work) -> Cost:
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - clock, time.process_time() - cpu)


def middle(costs: list[Cost]) -> Cost:
    return Cost(statistics.median(one.clock for one in costs), statistics.median(one.cpu for one in costs))


class Bench:
    """Prints a table in Markdown, each row when it is known: what, ratio, goal, absolute."""

    def __init__(self) -> None:
        self.begun = False

    def race(
        self,
        what: str,
        goal: float | None,
        ours: Work,
        theirs: Work,
        *,
        rounds: int = 3,
        samples: int = 0,
        by: str = "clock",
        note: str = "",
    ) -> tuple[Cost, Cost]:
        """How many times as fast `ours` is: the median over the rounds, and in brackets the least and the most.

        what: "ours / theirs".  goal: None if there is none.  samples: how many each of them gives, 0 to print seconds.
        by: the ratio that has the goal, "clock" or "cpu"; the other is printed with the absolute figures.
        Returns the medians of both.
        """
        pairs = [(cost(theirs), cost(ours)) for _ in range(rounds)]
        ratios = {one: [getattr(a, one) / getattr(b, one) for a, b in pairs] for one in ("clock", "cpu")}
        middles = middle([ours for _, ours in pairs]), middle([theirs for theirs, _ in pairs])
        other = "cpu" if by == "clock" else "clock"
        absolute = [" / ".join(one.told(samples) for one in middles)]
        absolute += [f"by {'CPU seconds' if other == 'cpu' else 'the clock'} {statistics.median(ratios[other]):.2f}"]
        wanted = "none" if goal is None else f"{goal} or more"
        self.row(what, ratios[by], wanted, "; ".join([*absolute, note] if note else absolute))
        return middles

    def row(self, what: str, ratios: list[float], goal: str, absolute: str) -> None:
        """Print a row.  ratios: of each round."""
        if not self.begun:
            print("\n| what | ratio | goal | absolute |\n|---|---|---|---|", flush=True)
            self.begun = True
        spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
        print(f"| {what} | **{statistics.median(ratios):.2f}**{spread} | {goal} | {absolute} |", flush=True)


@pytest.fixture(scope="session")
def bench() -> Bench:
    """The table of this run."""
    return Bench()


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's images, cut into 7,680 patches."""
    folder = tmp_path_factory.mktemp("bench")
    raw = synthetic_embryos.fetch(folder, lambda done, total: None)
    ingest(raw, folder / "images.zarr", synthetic_embryos.layout(raw))
    operations = ({"name": "display_range", "low": 2500, "high": 4200},)
    prepare(folder / "images.zarr", folder / "patches.zarr", Preparation(Cut("tiled", (32, 32)), operations))
    return folder / "patches.zarr"
