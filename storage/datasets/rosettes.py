"""C. elegans embryos with fluorescent membranes, some of them with a rosette (Wang et al., BioGAN).

11,250 unlabelled images of 128 x 128 (45 embryos, 50 minutes, 5 slices) and 1,578 labelled ones. 1,576 of the
labelled images are also among the unlabelled: a model that is judged on a date must not have been
pretrained on it.
"""

import hashlib
import re
import shutil
import tempfile
import urllib.request
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from storage.datasets import About, Progress
from storage.durable import staged
from storage.errors import DataError, ServiceError
from storage.manifest import sha256_file

REVISION = "3b8b0306e831be93c90fc7e7101fff292694e96d"
ADDRESS = f"https://codeload.github.com/DongCiLu/BioGAN/zip/{REVISION}"
ABOUT = About(
    title="C. elegans embryos, membranes; 11,250 unlabelled and 1,578 labelled 128 x 128 images",
    source=f"github.com/DongCiLu/BioGAN at {REVISION[:7]}",
    licence="none given: download for research, never redistribute",
    groups=("date", "embryo"),
)
FOLDERS = {
    "dataset/unsupervised": "unlabelled",
    "dataset/supervised/rosette_combined": "labelled/rosette",
    "dataset/supervised/non_rosette": "labelled/non_rosette",
}
"""Folder of the repository -> our folder."""
CONTENT = {
    "unlabelled": (11_250, "917ef2a4d03525d4413a375bb1270bbe63be1680ed1ac0936fabfcc893867e12"),
    "labelled/rosette": (386, "ec2e924eb2a4ee2a48e5f08a2df966b1d68e724533a2aad132c98fb855a3a25d"),
    "labelled/non_rosette": (1_192, "5ec481d0b7cf0c173d03523d07befcf956375f51c86be56e0f755301a8351867"),
}
"""Our folder -> how many files, and the SHA-256 over their names and digests."""
_LIMIT_BYTES = 1 << 20
_NAME = re.compile(
    r"YX_BV24_WT_Journal14_(?P<date>\d{8})_(?P<run>\d+)_s(?P<position>\d+)_t(?P<time>\d+)"
    r"(?:_emb(?P<emb>\d+))?(?:_slice(?P<slice>\d+))?"
)


def fetch(cache: Path, progress: Progress) -> Path:
    """Find the images in `cache`/rosettes, or download them there; either way every byte is checked."""
    folder = cache / "rosettes"
    if not folder.is_dir():
        with tempfile.NamedTemporaryFile(suffix=".zip") as archive, staged(folder) as partial:
            _download(Path(archive.name), progress)
            try:
                _unpack(Path(archive.name), partial)
            except (zipfile.BadZipFile, zlib.error) as error:
                raise _undelivered(str(error)) from None
            _check(partial)
        return folder
    _check(folder)
    return folder


def metadata(file: str) -> dict[str, str | int]:
    """Label, date, stage position, embryo, minute and slice, as far as the name has them.

    t75 and t075 are the same minute. Two labelled files name no embryo, and one of them no slice.
    """
    path = PurePosixPath(file)
    label = path.parent.name if path.parent.name in ("rosette", "non_rosette") else "unlabelled"
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return {"label": label}
    date, position, emb = match["date"], int(match["position"]), match["emb"]
    found: dict[str, str | int] = {"label": label, "date": date, "position": position, "time": int(match["time"])}
    found["embryo"] = f"{date}_s{position}_emb{emb or '_unnamed'}"
    if match["slice"]:
        found["slice"] = int(match["slice"])
    return found


def _download(target: Path, progress: Progress) -> None:
    try:
        with urllib.request.urlopen(ADDRESS, timeout=60) as answer, target.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0)
            done = 0
            while block := answer.read(1 << 20):
                file.write(block)
                done += len(block)
                progress(done, max(total, done))
    except (OSError, HTTPException) as error:
        raise _undelivered(str(error)) from None


def _unpack(archive: Path, target: Path) -> None:
    """Only the files wanted, each to a place that we choose; nothing else in the archive is touched."""
    with zipfile.ZipFile(archive) as content:
        for member in content.infolist():
            inside = PurePosixPath(*PurePosixPath(member.filename).parts[1:])
            folder = FOLDERS.get(inside.parent.as_posix())
            if folder is None or inside.suffix != ".jpg" or member.file_size > _LIMIT_BYTES:
                continue
            place = target / folder / inside.name
            place.parent.mkdir(parents=True, exist_ok=True)
            with content.open(member) as source, place.open("wb") as file:
                shutil.copyfileobj(source, file)


def _undelivered(found: str) -> ServiceError:
    return ServiceError(
        "the rosette images could not be downloaded",
        found,
        f"Check the network, or put them in $DISTGAN_DATA/rosettes yourself (from {ABOUT.source})",
    )


def _check(folder: Path) -> None:
    for name, (count, wanted) in CONTENT.items():
        files = sorted((folder / name).glob("*.jpg"))
        if len(files) != count or _digest(files) != wanted:
            raise DataError(
                f"{folder / name} is not the published set",
                f"{len(files)} files of {count}, or other bytes",
                f"Remove {folder} and fetch it again",
            )


def _digest(files: list[Path]) -> str:
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.name} {sha256_file(path)}\n".encode())
    return total.hexdigest()
