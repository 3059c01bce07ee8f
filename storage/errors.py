"""The errors a user can meet, each in three parts: what is wrong, what was found, what to do.

    DistganError
    +-- GateError       (RuntimeError)        exit 1   a gate refused: nothing failed, and nothing was changed
    +-- RecipeError     (ValueError)          exit 2   a recipe, a setting or a command line that cannot be meant
    +-- DataError       (ValueError)          exit 65  bad data, a damaged or uncommitted store, a damaged checkpoint
    +-- MissingError    (FileNotFoundError)   exit 66  no such store, model, folder or data set
    +-- ServiceError    (ConnectionError)     exit 69  a cluster, a server or its resources do not answer
    +-- InternalError   (RuntimeError)        exit 70  our bug
    +-- DiskError       (OSError)             exit 74  input/output failed, or the disk is full
    +-- InterruptedRun  (RuntimeError)        exit 75  stopped after a committed checkpoint: run again
    +-- DivergedError   (ArithmeticError)     exit 76  training left the finite numbers

`code` is the stable name other programs match; `exit_code` is what the command line returns.
"""

from typing import ClassVar


class DistganError(Exception):
    """A failure that can be told to a person.

    wrong: what is wrong.  found: what was seen instead.  do: the way out.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 70

    def __init__(self, wrong: str, found: str, do: str) -> None:
        super().__init__(wrong, found, do)
        self.wrong = wrong
        self.found = found
        self.do = do

    def __str__(self) -> str:
        return f"{self.wrong}. Found: {self.found}. {self.do}."

    def as_dict(self) -> dict[str, str]:
        """The failure as `--json` prints it, without the outer `error` key."""
        return {"code": self.code, "wrong": self.wrong, "found": self.found, "do": self.do}


class GateError(DistganError, RuntimeError):
    """A gate refused: nothing failed, and nothing was changed."""

    code = "gate"
    exit_code = 1


class RecipeError(DistganError, ValueError):
    """The recipe or the command line asks for something that does not exist or is out of range."""

    code = "recipe"
    exit_code = 2


class DataError(DistganError, ValueError):
    """The bytes are there, but they are not what they should be."""

    code = "data"
    exit_code = 65


class MissingError(DistganError, FileNotFoundError):
    """Nothing stands at the address given."""

    code = "missing"
    exit_code = 66


class ServiceError(DistganError, ConnectionError):
    """Something outside this process does not answer or has too little to give."""

    code = "service"
    exit_code = 69


class InternalError(DistganError, RuntimeError):
    """A promise of our own was broken."""

    code = "internal"
    exit_code = 70


class DiskError(DistganError, OSError):
    """Reading or writing failed; what was being written is not left looking whole."""

    code = "disk"
    exit_code = 74


class InterruptedRun(DistganError, RuntimeError):
    """The run was asked to stop and did, after committing a checkpoint."""

    code = "interrupted"
    exit_code = 75


class DivergedError(DistganError, ArithmeticError):
    """A loss or a weight is no longer a finite number, or the watch found what the recipe stops for."""

    code = "diverged"
    exit_code = 76


ERRORS: dict[str, type[DistganError]] = {
    kind.code: kind
    for kind in (
        GateError,
        RecipeError,
        DataError,
        MissingError,
        ServiceError,
        InternalError,
        DiskError,
        InterruptedRun,
        DivergedError,
    )
}


def error_from_dict(fields: dict[str, str]) -> DistganError:
    """The error another process wrote with `as_dict`."""
    return ERRORS.get(fields["code"], InternalError)(fields["wrong"], fields["found"], fields["do"])
