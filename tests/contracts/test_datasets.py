"""What every data set keeps to: its file is found, described, fetched whole, and its names are understood."""

import urllib.request
from pathlib import Path

import pytest

from storage.datasets import About, dataset_names, load_dataset
from storage.errors import MissingError, ServiceError
from storage.images import SUFFIXES
from storage.ingest import PLACE

OURS = {"file", "series", "first_frame", "frames", "shape", "dtype", "min", "max", "sha256", *PLACE}
"""Columns that ingest and prepare write."""
STRANGE = ["", "x", "a/b/c.png", "_.jpg", "t1", "20300101_emb00_t", "rosette/.jpg", "ünïcode/名前.tif", "x" * 300]

each = pytest.mark.parametrize("name", dataset_names())
downloaded = pytest.mark.parametrize(
    "name", [name for name in dataset_names() if load_dataset(name).ABOUT.source != "made here"]
)


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(name: str, cache: Path, request: pytest.FixtureRequest) -> Path:
    """The data set: made, or found among the real images."""
    made = load_dataset(name).ABOUT.source == "made here"
    return load_dataset(name).fetch(cache if made else request.getfixturevalue("real_data"), silent)


def is_flat(found: object) -> bool:
    return (
        isinstance(found, dict)
        and all(isinstance(key, str) and key.isidentifier() for key in found)
        and all(type(value) in (str, int) for value in found.values())
        and OURS.isdisjoint(found)
    )


@each
def test_it_is_described(name: str) -> None:
    about = load_dataset(name).ABOUT
    assert isinstance(about, About)
    for field in (about.title, about.source, about.licence):
        assert field == field.strip() != ""
        assert "\n" not in field
    assert about.groups
    assert len(set(about.groups)) == len(about.groups)


@each
@pytest.mark.parametrize("file", STRANGE)
def test_a_strange_name_says_little_and_breaks_nothing(name: str, file: str) -> None:
    found = load_dataset(name).metadata(file)
    assert is_flat(found)
    assert not set(load_dataset(name).ABOUT.groups) & set(found)


@each
def test_the_name_of_every_image_tells_all_groups(name: str, folder: Path) -> None:
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in SUFFIXES]
    assert len(files) > 10
    groups = load_dataset(name).ABOUT.groups
    members: dict[str, set[object]] = {group: set() for group in groups}
    for file in files:
        found = load_dataset(name).metadata(file)
        assert is_flat(found)
        for group in groups:
            members[group].add(found[group])
    counts = [len(members[group]) for group in groups]
    assert counts[0] >= 2
    assert counts == sorted(counts)  # the coarsest first


@each
def test_a_second_fetch_finds_the_first(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> None:
        pytest.fail("nothing must be downloaded")

    monkeypatch.setattr(urllib.request, "urlopen", nowhere)
    before = sorted(path.stat().st_mtime_ns for path in folder.rglob("*"))
    assert load_dataset(name).fetch(folder.parent, silent) == folder
    assert sorted(path.stat().st_mtime_ns for path in folder.rglob("*")) == before


@downloaded
def test_without_a_network_it_says_so_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(ServiceError, match="network is unreachable"):
        load_dataset(name).fetch(tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_data_set_is_told_which_there_are() -> None:
    with pytest.raises(MissingError, match=", ".join(dataset_names())):
        load_dataset("cats")
