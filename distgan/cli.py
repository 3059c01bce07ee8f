"""The command line: the composition root. Each verb (distgan/verbs) imports the layer it needs when it is called.

Progress and tables go to stderr; with --json exactly one JSON object goes to stdout, last. A failure is
one message of three parts and an exit code (see storage.errors).
"""

import contextlib
import json
import sys
from collections.abc import Sequence

from distgan.verbs import parser
from storage.errors import DataError, DistganError, InternalError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = parser().parse_args(given)
        with contextlib.redirect_stdout(sys.stderr):  # Ray prints there, and stdout is for the one object
            result = options.verb(options)
    except KeyboardInterrupt:
        return _failed(InternalError("interrupted", "no checkpoint was waited for", "Run it again"), given, INTERRUPTED)
    except DistganError as error:
        return _failed(error, given, error.exit_code)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        bug = InternalError("this is a bug of ours", found, "Report it with what --debug prints")
        return _failed(bug, given, bug.exit_code)
    if options.json:
        print(json.dumps(result))
    return 0 if result.get("ok", True) else DataError.exit_code


def _failed(error: DistganError, given: Sequence[str], exit_code: int) -> int:
    if "--debug" in given:
        import traceback

        traceback.print_exc()
    print(f"error: {error.wrong}\n  found: {error.found}\n  do:    {error.do}", file=sys.stderr)
    if "--json" in given:
        print(json.dumps({"error": error.as_dict()}))
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
