"""Where everything lies that distgan leaves: $DISTGAN_HOME, by default ./.distgan."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folder of runs, tracked numbers, registered models and tokens."""

    path: Path

    @classmethod
    def here(cls) -> "Home":
        """$DISTGAN_HOME, or .distgan in the current folder; absolute."""
        return cls(Path(os.environ.get("DISTGAN_HOME") or ".distgan").absolute())

    def run(self, name: str) -> Path:
        """The folder of a run."""
        return self.path / "runs" / name

    @property
    def models(self) -> Path:
        """Registered models that runs have begun with, by their digests."""
        return self.path / "models"

    @property
    def ray(self) -> Path:
        """Where Ray Train keeps its own notes of an attempt; of no use after it."""
        return self.path / "ray"

    @property
    def token(self) -> Path:
        """The secret shared by the processes of our local Ray."""
        return self.path / "tokens" / "ray"

    @property
    def tracking_uri(self) -> str:
        """$MLFLOW_TRACKING_URI, or a database in the folder."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.path / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Where the database keeps files, if it is ours."""
        return self.path / "artifacts"
