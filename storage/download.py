"""Published data sets: found in the cache, or downloaded into it; either way every byte is checked before use.

A data set in a public repository arrives as one archive of a pinned revision, out of which only the files wanted
are taken. One that nobody can fetch unattended is brought by hand, and the error says from where.
"""

import hashlib
import re
import shutil
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from storage.datasets import Progress
from storage.durable import disk_errors, staged
from storage.errors import DataError, DiskError, ServiceError
from storage.manifest import sha256_file

Content = Mapping[str, tuple[int, str]]
"""Pattern of files below a data set's folder -> how many there are, and the SHA-256 over their paths and digests."""


@dataclass(frozen=True)
class Archive:
    """A ZIP archive somewhere, with all its members below one folder.

    files: regular expression of a whole path in it -> where that file goes below our folder, as in `re.sub`.
    source: for people.  limit_bytes: members that are longer are left in the archive.
    """

    address: str
    source: str
    files: Mapping[str, str]
    limit_bytes: int = 16 << 20

    def place(self, member: str) -> str | None:
        """Where a member goes below our folder; None if it is not wanted."""
        inside = PurePosixPath(*PurePosixPath(member).parts[1:]).as_posix()
        for pattern, target in self.files.items():
            if match := re.fullmatch(pattern, inside):
                return match.expand(target)
        return None


def repository(name: str, revision: str, files: Mapping[str, str]) -> Archive:
    """The archive that GitHub makes of a revision of the repository OWNER/NAME."""
    return Archive(f"https://codeload.github.com/{name}/zip/{revision}", f"github.com/{name} at {revision[:7]}", files)


def fetch(folder: Path, archive: Archive, content: Content, progress: Progress) -> Path:
    """Find a data set at `folder`, or download it there; either way `check` it.

    Raises ServiceError: it could not be downloaded.  Raises DataError: it is not what was published.
    """
    if not folder.is_dir():
        with staged(folder) as partial:
            download(folder.name, archive, partial, progress)
            check(partial, content)
        return folder
    check(folder, content)
    return folder


def find(folder: Path, source: str, bring: str) -> Path:
    """Find at `folder` a data set that has to be brought by hand.  bring: what has to stand there, a sentence's end.

    Raises ServiceError: it is not there.
    """
    if not folder.is_dir():
        raise ServiceError(
            f"the data set {folder.name} cannot be downloaded by this program",
            f"no folder {folder}",
            f"Put into $DISTGAN_DATA/{folder.name} {bring} (from {source})",
        )
    return folder


def download(name: str, archive: Archive, target: Path, progress: Progress) -> None:
    """Bring the wanted files of an archive below `target`.  name: of the data set, for messages.

    Raises ServiceError: it does not arrive whole.  Raises DiskError: the disk is full.
    """
    with tempfile.NamedTemporaryFile(suffix=".zip", dir=target) as file:
        try:
            _receive(archive.address, Path(file.name), progress)
            _unpack(archive, Path(file.name), target)
        except DiskError:
            raise
        except (OSError, HTTPException, zipfile.BadZipFile, zlib.error) as error:
            raise ServiceError(
                f"the data set {name} could not be downloaded",
                str(error),
                f"Check the network, or put it into $DISTGAN_DATA/{name} yourself (from {archive.source})",
            ) from None


def check(folder: Path, content: Content) -> None:
    """Raise DataError unless the files below `folder` are those published, to the last byte."""
    for pattern, (count, wanted) in content.items():
        files = sorted(folder.glob(pattern))
        if len(files) != count or digest(folder, files) != wanted:
            raise different(folder, f"of {pattern} {len(files)} files instead of {count}, or other bytes")


def different(folder: Path, found: str) -> DataError:
    """The error for a folder that does not hold the published bytes."""
    return DataError(f"{folder} is not the published set", found, "Remove it and fetch it again")


def digest(folder: Path, files: list[Path]) -> str:
    """SHA-256 over the lines "path digest" of files below a folder."""
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(folder).as_posix()} {sha256_file(path)}\n".encode())
    return total.hexdigest()


def _receive(address: str, target: Path, progress: Progress) -> None:
    with urllib.request.urlopen(address, timeout=60) as answer, target.open("wb") as file:  # noqa: S310, ours
        total = int(answer.headers.get("Content-Length") or 0)
        done = 0
        while block := answer.read(1 << 20):
            with disk_errors(target):
                file.write(block)
            done += len(block)
            progress(done, max(total, done))


def _unpack(archive: Archive, source: Path, target: Path) -> None:
    """Only the files wanted, each to a place that we choose; nothing else in the archive is touched."""
    with zipfile.ZipFile(source) as content:
        for member in content.infolist():
            place = archive.place(member.filename)
            if place is None or member.file_size > archive.limit_bytes:
                continue
            path = target / place
            with content.open(member) as packed, disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    shutil.copyfileobj(packed, file)
