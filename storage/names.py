"""Names that are safe as folder names, run names and registry names."""

import re

from storage.errors import RecipeError

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = frozenset({"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)})
"""Devices of Windows, whatever follows a dot."""


def safe_name(name: str, what: str) -> str:
    """Return `name` unchanged if it can stand in any path or registry.

    Raises RecipeError: it is empty, too long, or has a character that some file system or server
    reads as something else.
    """
    if not _SAFE.fullmatch(name) or name.endswith(".") or name.lower().split(".")[0] in _RESERVED:
        raise RecipeError(
            f"{what} cannot be used as a name",
            repr(name),
            "Use 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or a digit",
        )
    return name
