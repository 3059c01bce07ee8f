"""Downloaded archives: every byte checked, only what is wanted unpacked, and nothing left of what went wrong."""

import hashlib
import http.client
import io
import shutil
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from storage import download
from storage.download import Archive, Content, fetch, find, repository
from storage.errors import DataError, DiskError, ServiceError

FILES = {r"data/(a|b)/([^/]+\.jpg)": r"images/\1/\2", r"data/(table\.csv)": r"\1"}
ARCHIVE = Archive("https://example.invalid/archive.zip", "example.invalid at 1", FILES, limit_bytes=1000)
PUBLISHED = {"data/a/1.jpg": b"a1", "data/a/2.jpg": b"a2", "data/b/1.jpg": b"bbbbbbbbbb1", "data/table.csv": b"x,y\n"}
"""Path in the archive, below its one folder -> bytes."""
OURS = {"images/a/1.jpg": b"a1", "images/a/2.jpg": b"a2", "images/b/1.jpg": b"bbbbbbbbbb1", "table.csv": b"x,y\n"}


def digest(*names: str) -> str:
    """The digest as `Content` documents it."""
    lines = [f"{name} {hashlib.sha256(OURS[name]).hexdigest()}\n" for name in sorted(names)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


CONTENT: Content = {
    "images/*/*.jpg": (3, digest("images/a/1.jpg", "images/a/2.jpg", "images/b/1.jpg")),
    "table.csv": (1, digest("table.csv")),
}


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture
def serve(tmp_path: Path) -> Callable[[bytes], Archive]:
    def publish(content: bytes) -> Archive:
        path = tmp_path / "elsewhere.zip"
        path.write_bytes(content)
        return replace(ARCHIVE, address=path.as_uri())

    return publish


def zipped(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def whole(**changes: bytes) -> bytes:
    return zipped({f"set-1/{path}": data for path, data in {**PUBLISHED, **changes}.items()})


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_repository_is_one_archive_of_a_revision() -> None:
    archive = repository("owner/name", "0123456789abcdef", FILES)
    assert archive.address == "https://codeload.github.com/owner/name/zip/0123456789abcdef"
    assert archive.source == "github.com/owner/name at 0123456"


def test_only_the_files_wanted_leave_the_archive(serve: Callable[[bytes], Archive], tmp_path: Path) -> None:
    unwanted = {
        "../evil.jpg": b"evil",
        "set-1/../../evil.jpg": b"evil",
        "set-1/data/a/../../../../evil.jpg": b"evil",
        "/set-1/data/a/evil.jpg": b"evil",
        "set-1/data/a/deeper/evil.jpg": b"evil",
        "set-1/data/a/large.jpg": b"x" * (ARCHIVE.limit_bytes + 1),
        "set-1/data/a/notes.txt": b"notes",
        "set-1/README.md": b"notes",
    }
    archive = serve(zipped({f"set-1/{path}": data for path, data in PUBLISHED.items()} | unwanted))
    steps: list[tuple[int, int]] = []
    folder = fetch(tmp_path / "cache" / "ours", archive, CONTENT, lambda *step: steps.append(step))
    assert listing(folder) == OURS
    assert listing(tmp_path / "cache") == {f"ours/{path}": data for path, data in OURS.items()}
    assert not list(tmp_path.rglob("evil*"))
    assert steps[-1][0] == steps[-1][1] == (tmp_path / "elsewhere.zip").stat().st_size


def test_what_is_in_the_cache_is_checked_and_not_fetched_again(
    serve: Callable[[bytes], Archive], tmp_path: Path
) -> None:
    folder = fetch(tmp_path / "ours", serve(whole()), CONTENT, silent)
    (folder / "notes.txt").write_text("mine")  # what is not part of the set does not matter
    assert fetch(folder, serve(b"the server is gone"), CONTENT, silent) == folder


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"a3"),
        lambda path: path.unlink(),
        lambda path: path.rename(path.with_name("3.jpg")),
        lambda path: path.rename(path.parents[1] / "b" / "2.jpg"),
        lambda path: shutil.copy(path, path.with_name("3.jpg")),
    ],
    ids=["a byte", "a file less", "a name", "a folder", "a file more"],
)
def test_what_differs_from_the_published_set_is_refused(
    change: Callable[[Path], object], serve: Callable[[bytes], Archive], tmp_path: Path
) -> None:
    archive = serve(whole())
    change(fetch(tmp_path / "ours", archive, CONTENT, silent) / "images" / "a" / "2.jpg")
    with pytest.raises(DataError, match=r"ours is not the published set.*images/\*/\*\.jpg"):
        fetch(tmp_path / "ours", archive, CONTENT, silent)


def test_other_content_is_never_put_into_the_cache(serve: Callable[[bytes], Archive], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match="not the published set"):
        fetch(cache / "ours", serve(whole(**{"data/a/1.jpg": b"other"})), CONTENT, silent)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"<html>try again later</html>", b"", whole()[:-100], whole().replace(b"bbbbbbbbbb1", b"bbbbbbbbbbB")],
    ids=["a page", "nothing", "cut", "a byte"],
)
def test_an_archive_that_did_not_arrive_whole_is_told_and_leaves_nothing(
    content: bytes, serve: Callable[[bytes], Archive], tmp_path: Path
) -> None:
    with pytest.raises(ServiceError, match="data set ours could not be downloaded"):
        fetch(tmp_path / "cache" / "ours", serve(content), CONTENT, silent)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    "error", [OSError("no route to host"), TimeoutError("timed out"), http.client.IncompleteRead(b"half", 9)]
)
@pytest.mark.parametrize("when", ["at once", "in the middle"])
def test_a_download_that_fails_is_told_and_leaves_nothing(
    error: Exception, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer(io.BytesIO):
        headers = http.client.HTTPMessage()

        def read(self, size: int | None = None) -> bytes:
            if self.tell():
                raise error
            return super().read(4)

    def urlopen(address: str, timeout: float) -> Answer:
        assert address == ARCHIVE.address
        if when == "at once":
            raise error
        return Answer(b"half of it")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(ServiceError, match=r"could not be downloaded.*DISTGAN_DATA/ours"):
        fetch(tmp_path / "cache" / "ours", ARCHIVE, CONTENT, silent)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_not_called_a_bad_network(
    serve: Callable[[bytes], Archive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.shutil, "copyfileobj", full)
    with pytest.raises(DiskError, match="could not be written"):
        fetch(tmp_path / "cache" / "ours", serve(whole()), CONTENT, silent)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_must_be_brought_by_hand_is_found_or_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"DISTGAN_DATA/ours two folders \(from example.invalid\)"):
        find(tmp_path / "ours", "example.invalid", "two folders")
    (tmp_path / "ours").mkdir()
    assert find(tmp_path / "ours", "example.invalid", "two folders") == tmp_path / "ours"
