"""Long writing that survives being killed: what is finished is noted, and the same command goes on from there.

A directory is filled under a hidden name beside its place. A journal beside it has one line per finished task, written
after the task's files are on the disk; the last step seals the directory and renames it. Readers see nothing before.

    FOLDER/.STORE.partial/          what is finished, and what is being written
    FOLDER/.STORE.JOURNAL.jsonl     what is finished; whoever writes holds its lock
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from storage.durable import disk_errors, require_nothing, sync, sync_tree
from storage.errors import DiskError, DistganError, ServiceError
from storage.manifest import Facts, seal, sha256_file

JOURNAL = "JOURNAL.jsonl"


class Work:
    """A directory that is being filled.

    path: where to write.  done: task name -> result, of the tasks that an earlier attempt finished and whose
    files are still as they were written.
    """

    def __init__(self, path: Path, journal: IO[str]) -> None:
        self.path = path
        self.done: dict[str, Any] = {}
        self.digests: dict[str, str] = {}
        self._journal = journal

    def finish(self, name: str, objects: Sequence[str], result: Any) -> None:
        """Note that a task has written `objects` (paths below `path`) and what it found (JSON)."""
        digests = {}
        for one in objects:
            sync(self.path / one)
            digests[one] = sha256_file(self.path / one)
        self._append({"task": name, "objects": digests, "result": result})
        self.digests |= digests
        self.done[name] = result

    def begin(self, key: str) -> None:
        """Take over what an earlier attempt at the same thing finished, and remove everything else."""
        self._journal.seek(0)
        lines = self._journal.readlines() or [""]
        first, *rest = map(_parsed, lines)
        if first != {"key": key}:
            self._journal.truncate(0)
            self._append({"key": key})
        elif not lines[-1].endswith("\n"):
            self._journal.write("\n")  # the writer was killed in that line
        for one in rest if first == {"key": key} else []:
            if "task" in one and self._stands(one["objects"]):
                self.done[one["task"]] = one["result"]
                self.digests |= one["objects"]
        for path in self.path.rglob("*"):
            if path.is_file() and path.relative_to(self.path).as_posix() not in self.digests:
                path.unlink()

    def _stands(self, objects: dict[str, str]) -> bool:
        paths = {self.path / name: digest for name, digest in objects.items()}
        return all(path.is_file() and sha256_file(path) == digest for path, digest in paths.items())

    def _append(self, line: dict[str, Any]) -> None:
        self._journal.write(json.dumps(line) + "\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())


@contextlib.contextmanager
def resumable(target: Path, kind: str, facts: Facts, key: str) -> Iterator[Work]:
    """Fill a directory task by task and commit it as `target`; a later call goes on where a killed one stopped.

    key: names what is being made; what was begun under another key is thrown away.  facts: as of `manifest.committed`;
    the block may add to them.
    Raises RecipeError: something stands at `target`.  Raises ServiceError: another process is writing it.
    Raises DiskError: writing failed; what is finished is kept.
    """
    partial = target.with_name(f".{target.name}.partial")
    with disk_errors(target), _locked(partial, target) as journal:
        require_nothing(target)
        partial.mkdir(exist_ok=True)
        try:
            work = Work(partial, journal)
            work.begin(key)
            yield work
            seal(partial, kind, facts, work.digests)
            sync_tree(partial)
            require_nothing(target)
            partial.rename(target)
            sync(target.parent)
        except Exception as error:
            if not _worth_another_attempt(error):
                shutil.rmtree(partial, ignore_errors=True)
            raise


@contextlib.contextmanager
def _locked(partial: Path, target: Path) -> Iterator[IO[str]]:
    """The journal of a partial directory, which one process may hold; it is removed once that directory is gone."""
    path = target.with_name(f".{target.name}.{JOURNAL}")
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+", encoding="utf-8", errors="replace") as journal:
            try:
                fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ServiceError(
                    f"{target} is being written by another process",
                    f"it holds {path}",
                    "Wait until it has finished, or stop it",
                ) from None
            if not _is_still(path, journal):
                continue  # the other process ended, and removed it, while we were opening it
            try:
                yield journal
            finally:
                if not partial.exists():
                    path.unlink()
            return


def _worth_another_attempt(error: Exception) -> bool:
    """Whether what is finished is kept: the disk was full or a cluster was lost; the input is not to blame."""
    system = isinstance(error, OSError) and not isinstance(error, DistganError)
    return system or isinstance(error, (ServiceError, DiskError))


def _is_still(path: Path, file: IO[str]) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


def _parsed(line: str) -> dict[str, Any]:
    """A line of the journal; {} for the half one of a killed writer."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
