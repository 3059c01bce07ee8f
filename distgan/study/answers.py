"""What people answered, read with the key. Their files come from elsewhere, and are believed in nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distgan.study.panel import KEY
from storage.errors import DataError, MissingError, RecipeError

LARGEST = 16 << 20
"""Bytes of a file of answers, at most."""
Name = Annotated[str, Field(min_length=1, max_length=80)]


class _Answer(BaseModel):
    image: Name
    said: Literal["real", "generated"]
    seconds: float = Field(ge=0, allow_inf_nan=False)


class _Answers(BaseModel):
    study: Name
    person: Name
    answers: list[_Answer]


class _Image(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: Name
    made: bool
    origin: str | int


class _Key(BaseModel):
    study: Name
    title: str
    key: list[_Image]


@dataclass(frozen=True)
class Answers:
    """Every answer of everybody, N each.

    images, people: their names.  origins: of the images.  truths: whether each image is made.  which, who: N numbers of
    the image and of the person.  called_made, seconds: what they said, and after how long.
    """

    study: str
    title: str
    images: Sequence[str]
    origins: Sequence[str | int]
    truths: NDArray[np.bool_]
    people: Sequence[str]
    which: NDArray[np.int64]
    who: NDArray[np.int64]
    called_made: NDArray[np.bool_]
    seconds: NDArray[np.float64]

    @property
    def made(self) -> NDArray[np.bool_]:
        """Whether the image of each answer is made, N."""
        return self.truths[self.which]


def read_answers(folder: Path, files: Sequence[Path]) -> Answers:
    """Read the key of a study and the files that people sent.

    Raises MissingError: there is no such file.  Raises DataError: one is damaged, of another study, or names an image
    twice or one that was not shown.  Raises RecipeError: two files are of one person.
    """
    key: _Key = _read(folder / KEY, _Key)
    place = {image.id: number for number, image in enumerate(key.key)}
    people: list[str] = []
    rows: list[tuple[int, int, bool, float]] = []
    for file in files:
        told: _Answers = _read(file, _Answers)
        if told.study != key.study:
            raise DataError(f"{file} is of another study", f"{told.study} instead of {key.study}", "Name its folder")
        if told.person in people:
            raise RecipeError(
                f"two files are of {told.person!r}", f"{file} is the second", "Give one of them, or another name in it"
            )
        names = [answer.image for answer in told.answers]
        if odd := next((name for name in names if name not in place or names.count(name) > 1), None):
            raise DataError(f"{file} is damaged", f"image {odd!r} is unknown or judged twice", "Ask for it again")
        rows += [(place[one.image], len(people), one.said == "generated", one.seconds) for one in told.answers]
        people.append(told.person)
    if not rows:
        raise DataError("nobody has answered", f"{len(files)} file(s) without an answer", "Give files of answers")
    which, who, called, seconds = (np.array(column) for column in zip(*rows, strict=True))
    return Answers(
        key.study,
        key.title,
        [image.id for image in key.key],
        [image.origin for image in key.key],
        np.array([image.made for image in key.key]),
        people,
        which,
        who,
        called,
        seconds,
    )


def _read(path: Path, kind: type[BaseModel]) -> Any:
    if not path.is_file():
        raise MissingError(f"there is no file {path}", "nothing of that name", "Check the path")
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path} is no file of a study", f"{path.stat().st_size:,} bytes", "Give another")
    try:
        return kind.model_validate(json.loads(path.read_text("utf-8")))
    except (ValidationError, ValueError) as error:
        found = str(error).splitlines()
        raise DataError(f"{path} is no file of a study", " ".join(found[:3]), "Ask for it again") from None
