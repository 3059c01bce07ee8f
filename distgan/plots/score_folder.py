"""What a command has written to its folder, read again for a figure."""

import json
from pathlib import Path
from typing import Any

from storage.errors import DataError, MissingError


def read_score(folder: Path, score: str) -> dict[str, Any]:
    """The facts that `distgan evaluate SCORE --out` wrote.

    Raises MissingError: there are none.  Raises DataError: they are of another score.
    """
    facts = read_facts(folder / "score.json", f"distgan evaluate {score} --out")
    if facts.get("score") != score:
        raise DataError(f"{folder} holds no {score}", f"it holds {facts.get('score')}", "Name the folder of that score")
    return facts


def read_facts(path: Path, command: str) -> dict[str, Any]:
    """A JSON file.  command: that makes it.  Raises MissingError: there is none."""
    if not path.exists():
        raise MissingError(f"there is no {path.name} in {path.parent}", "no such file", f"Make it by {command}")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
