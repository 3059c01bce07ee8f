"""The rosette images: every byte checked, only what is wanted unpacked, and the odd names understood."""

import hashlib
import http.client
import io
import shutil
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.datasets import rosettes
from storage.datasets.rosettes import CONTENT, FOLDERS, fetch, metadata
from storage.errors import DataError, ServiceError

ROOT = f"BioGAN-{rosettes.REVISION}"
ODD = {
    "date": "20170711",
    "position": 1,
    "time": 51,
    "embryo": "20170711_s1_emb_unnamed",
    "slice": 13,
}
IMAGES = {f"{folder}/{name}.jpg": f"{folder}{name}".encode() for folder in FOLDERS for name in "ab"}
"""Path in the repository -> bytes; a stand-in for what is published."""


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """`IMAGES` are what is published, each folder with its digest as the module's documentation defines it."""
    content = {}
    for folder, ours in FOLDERS.items():
        files = {Path(path).name: data for path, data in sorted(IMAGES.items()) if path.startswith(f"{folder}/")}
        lines = [f"{name} {hashlib.sha256(data).hexdigest()}\n" for name, data in files.items()]
        content[ours] = (len(files), hashlib.sha256("".join(lines).encode()).hexdigest())
    monkeypatch.setattr(rosettes, "CONTENT", content)


@pytest.fixture
def serve(published: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def publish(archive: bytes) -> None:
        path = tmp_path / "elsewhere.zip"
        path.write_bytes(archive)
        monkeypatch.setattr(rosettes, "ADDRESS", path.as_uri())

    return publish


def zipped(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def whole(**changes: bytes) -> bytes:
    return zipped({f"{ROOT}/{path}": data for path, data in {**IMAGES, **changes}.items()})


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (
            "unlabelled/YX_BV24_WT_Journal14_20170711_2_s5_t075_emb1_slice09.jpg",
            {
                "label": "unlabelled",
                "date": "20170711",
                "position": 5,
                "time": 75,
                "embryo": "20170711_s5_emb1",
                "slice": 9,
            },
        ),
        (
            "labelled/rosette/YX_BV24_WT_Journal14_20170711_2_s5_t75_emb1_slice09.jpg",
            {
                "label": "rosette",
                "date": "20170711",
                "position": 5,
                "time": 75,
                "embryo": "20170711_s5_emb1",
                "slice": 9,
            },
        ),
        (
            "labelled/non_rosette/YX_BV24_WT_Journal14_20170711_2_s1_t051_slice13.jpg",
            {"label": "non_rosette", **ODD},
        ),
        (
            "labelled/non_rosette/YX_BV24_WT_Journal14_20170720_2_s1_t091.jpg",
            {
                "label": "non_rosette",
                "date": "20170720",
                "position": 1,
                "time": 91,
                "embryo": "20170720_s1_emb_unnamed",
            },
        ),
        ("labelled/rosette/other.jpg", {"label": "rosette"}),
        ("other.jpg", {"label": "unlabelled"}),
    ],
)
def test_names_tell_what_they_have(file: str, found: dict[str, str | int]) -> None:
    assert metadata(file) == found


def test_the_published_set_is_as_its_module_says(real_data: Path) -> None:
    folder = fetch(real_data, silent)
    assert folder == real_data / "rosettes"
    rows = [metadata(path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*.jpg"))]
    labels = [row["label"] for row in rows]
    assert {label: labels.count(label) for label in set(labels)} == {
        Path(name).name: count for name, (count, _) in CONTENT.items()
    }
    places: dict[bool, set[tuple[object, ...]]] = {True: set(), False: set()}
    for row in rows:
        places[row["label"] == "unlabelled"].add((row["embryo"], row["time"], row.get("slice")))
    unlabelled, labelled = places[True], places[False]
    assert len(unlabelled) == 11_250
    assert [len({place[axis] for place in unlabelled}) for axis in (0, 1, 2)] == [45, 50, 5]
    assert len(labelled - unlabelled) == 2


def test_only_the_images_wanted_leave_the_archive(serve: Callable[[bytes], None], tmp_path: Path) -> None:
    first = next(iter(FOLDERS))
    serve(
        zipped(
            {f"{ROOT}/{path}": data for path, data in IMAGES.items()}
            | {
                "../evil.jpg": b"evil",
                f"{ROOT}/../../evil.jpg": b"evil",
                f"{ROOT}/{first}/../../../../evil.jpg": b"evil",
                f"/{ROOT}/{first}/evil.jpg": b"evil",
                f"{ROOT}/{first}/deeper/evil.jpg": b"evil",
                f"{ROOT}/{first}/large.jpg": b"x" * (rosettes._LIMIT_BYTES + 1),
                f"{ROOT}/{first}/notes.txt": b"notes",
                f"{ROOT}/README.md": b"notes",
            }
        )
    )
    steps: list[tuple[int, int]] = []
    cache = tmp_path / "cache"
    folder = fetch(cache, lambda *step: steps.append(step))
    wanted = {f"rosettes/{ours}/{name}.jpg" for ours in FOLDERS.values() for name in "ab"}
    assert listing(cache) == wanted
    assert not list(tmp_path.rglob("evil*"))
    assert (folder / "labelled/rosette/a.jpg").read_bytes() == b"dataset/supervised/rosette_combineda"
    assert steps[-1][0] == steps[-1][1] == (tmp_path / "elsewhere.zip").stat().st_size


def test_what_is_in_the_cache_is_checked_and_not_fetched_again(serve: Callable[[bytes], None], tmp_path: Path) -> None:
    serve(whole())
    folder = fetch(tmp_path / "cache", silent)
    serve(b"the server is gone")
    assert fetch(tmp_path / "cache", silent) == folder


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"dataset/unsuperviseD"),
        lambda path: path.unlink(),
        lambda path: path.rename(path.with_name("c.jpg")),
        lambda path: shutil.copy(path, path.with_name("c.jpg")),
    ],
    ids=["a byte", "a file less", "a name", "a file more"],
)
def test_what_differs_from_the_published_set_is_refused(
    change: Callable[[Path], object], serve: Callable[[bytes], None], tmp_path: Path
) -> None:
    serve(whole())
    change(fetch(tmp_path / "cache", silent) / "unlabelled" / "a.jpg")
    with pytest.raises(DataError, match="unlabelled is not the published set"):
        fetch(tmp_path / "cache", silent)


def test_other_content_is_never_put_into_the_cache(serve: Callable[[bytes], None], tmp_path: Path) -> None:
    serve(whole(**{next(iter(IMAGES)): b"other"}))
    with pytest.raises(DataError, match="not the published set"):
        fetch(tmp_path / "cache", silent)
    assert listing(tmp_path / "cache") == set()
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    "archive",
    [
        b"<html>try again later</html>",
        b"",
        whole()[:-100],
        whole().replace(b"supervised/rosette_combineda", b"supervised/rosette_combinedA"),
    ],
    ids=["a page", "nothing", "cut", "a byte"],
)
def test_an_archive_that_did_not_arrive_whole_is_told_and_leaves_nothing(
    archive: bytes, serve: Callable[[bytes], None], tmp_path: Path
) -> None:
    serve(archive)
    with pytest.raises(ServiceError, match="rosette images"):
        fetch(tmp_path / "cache", silent)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    "error", [OSError("no route to host"), TimeoutError("timed out"), http.client.IncompleteRead(b"half", 9)]
)
@pytest.mark.parametrize("when", ["at once", "in the middle"])
def test_a_download_that_fails_is_told_and_leaves_nothing(
    error: Exception, when: str, published: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer(io.BytesIO):
        headers = http.client.HTTPMessage()

        def read(self, size: int | None = None) -> bytes:
            if self.tell():
                raise error
            return super().read(4)

    def urlopen(address: str, timeout: float) -> Answer:
        assert address == rosettes.ADDRESS
        if when == "at once":
            raise error
        return Answer(b"half of it")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(ServiceError, match=r"could not be downloaded.*DISTGAN_DATA/rosettes"):
        fetch(tmp_path / "cache", silent)
    assert list((tmp_path / "cache").iterdir()) == []
