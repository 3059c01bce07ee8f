"""A disk that fills while a store is written: the error says so, and what stood on it before is untouched."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import fill, patches, store
from storage.cuts import Cut
from storage.errors import DiskError
from storage.ingest import ingest
from storage.manifest import listed
from storage.preprocess import Preparation, prepare
from storage.store import ImageStore

Work = Callable[[ImageStore, Path, Path], object]
WORKS: dict[str, Work] = {
    "ingest": lambda store, folder, target: ingest(folder, target),
    "prepare": lambda store, folder, target: prepare(store.path, target, Preparation(Cut("tiled", (12, 12)))),
}


BEGUN = {".store.partial", ".store.JOURNAL.jsonl"}


@pytest.fixture(params=WORKS)
def work(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Writes a store of several shards, from the images of the fixtures."""
    for module in (store, patches):
        monkeypatch.setattr(module, "CHUNK_BYTES", 1)
        monkeypatch.setattr(module, "SHARD_BYTES", 1)
    return WORKS[request.param]


@pytest.fixture
def resized(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of its own, and the means to make it as large as wanted, in KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(size: int, *how: str) -> Path:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join((*how, f"size={size}k")), "tmpfs", disk],
            check=True,
            capture_output=True,
        )
        return disk

    try:
        mount(4)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    yield lambda size: mount(size, "remount")
    subprocess.run(["umount", disk], check=True)


def test_a_disk_that_fills_at_whatever_moment_keeps_what_it_had(
    work: Work, resized: Callable[[int], Path], image_store: ImageStore, image_folder: Path, tmp_path: Path
) -> None:
    disk, failures = resized(8), 0
    (disk / "earlier").write_bytes(b"x" * 4096)

    def fits() -> bool:
        try:
            work(image_store, image_folder, disk / "store")
        except DiskError:
            return False
        return True

    while failures < 100 and not fits():
        assert {path.name for path in disk.iterdir()} <= {"earlier", *BEGUN}
        failures += 1
        resized(8 + 8 * failures)
    assert 3 < failures < 100
    assert (disk / "earlier").read_bytes() == b"x" * 4096
    assert {path.name for path in disk.iterdir()} == {"earlier", "store"}
    work(image_store, image_folder, tmp_path / "undisturbed")
    assert listed(disk / "store").digest == listed(tmp_path / "undisturbed").digest


@pytest.mark.parametrize("shards", [0, 1, 3])
def test_a_shard_that_cannot_be_written_ends_the_work(
    shards: int,
    work: Work,
    image_store: ImageStore,
    image_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[object] = []
    room = iter(range(shards))

    def filling(path: Path, start: object, block: object) -> str:
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        key = write_shard(path, start, block)  # type: ignore[arg-type]
        written.append(start)
        return key

    write_shard = store.write_shard
    for module in (fill, patches):
        monkeypatch.setattr(module, "write_shard", filling)
    with pytest.raises(DiskError, match="No space left"):
        work(image_store, image_folder, tmp_path / "store")
    assert len(written) == shards
    assert {path.name for path in tmp_path.iterdir()} == BEGUN  # for the next attempt
