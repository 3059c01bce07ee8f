"""What `distgan evaluate` asks of a score, and what it is told: how good is something that is finished?

Scores along a run are `distgan.evaluation`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from matplotlib.figure import Figure

from distgan.config.sections import Section
from storage.datasets import Progress


class ScoreSettings(Section):
    """The table of a score in a recipe; every score adds its own keys.

    of: what is scored, where the command line names the recipe instead.
    """

    of: str = ""


@dataclass(frozen=True)
class Asked:
    """target: a file, a store, the folder of a model, or the name of a data set.  cache: where data sets are."""

    target: str
    settings: Any
    cache: Path
    progress: Progress = lambda done, total: None


@dataclass(frozen=True)
class Told:
    """facts: JSON values.  tables, figures: by name, for `--out`; figures are drawn only then."""

    facts: Mapping[str, Any]
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    figures: Mapping[str, Callable[[], Figure]] = field(default_factory=dict)
