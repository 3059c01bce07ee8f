"""The tables of a recipe that say how a patch store is made: `[prepare]` and what is in it."""

from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from distgan.config.sections import Section, Seed


def _zstd() -> dict[str, JsonValue]:
    return {"name": "zstd"}


class Patch(Section):
    """`[prepare.patch]`: what is cut out of the images, and what is done to it.

    size: edge in pixels, or H W, or D H W.  The other keys are those of `storage.cuts.Cut`; operations:
    tables of {name, and that operation's own keys}, applied to what was cut out.
    """

    size: int | tuple[int, ...] = ()
    cut: Literal["one_random", "random", "tiled", "boxes", "objects", "whole"] = "tiled"
    dimensions: Literal[2, 3] = 2
    count: int = Field(1, ge=1)
    boxes: str = ""
    objects: str = ""
    matched: tuple[str, ...] = ()
    border: bool = False
    operations: tuple[dict[str, JsonValue], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _three_edges_are_a_volume(cls, fields: Any) -> Any:
        size = fields.get("size") if isinstance(fields, dict) else None
        if isinstance(size, (list, tuple)) and len(size) == 3:
            return {"dimensions": 3} | fields
        return fields

    @model_validator(mode="after")
    def _check(self) -> "Patch":
        if any(edge < 1 for edge in self.edges):
            raise ValueError("size must be positive")
        if self.cut == "whole" and self.size != ():
            raise ValueError('size has no meaning for cut = "whole"; operations may be resize, pad or centre_crop')
        if self.cut != "whole" and len(self.edges) != self.dimensions:
            raise ValueError(f"cut {self.cut} wants size, {self.dimensions} edges or one number")
        for key in ("boxes", "objects"):
            if (self.cut == key) != bool(getattr(self, key)):
                raise ValueError(f'{key} and cut = "{key}" go together')
        if self.count > 1 and self.cut not in ("random", "boxes"):
            raise ValueError(f'count has no meaning for cut = "{self.cut}", but for random and boxes')
        if (self.matched or self.border) and self.cut != "objects":
            raise ValueError(f'matched and border have no meaning for cut = "{self.cut}", but for objects')
        return self

    @property
    def edges(self) -> tuple[int, ...]:
        """One edge per dimension."""
        return (self.size,) * self.dimensions if isinstance(self.size, int) else self.size


class LookAlikes(Section):
    """`[prepare.neighbours]`: as of `storage.mining.Neighbours`."""

    channel: str
    by: str
    count: int = Field(5, ge=1)
    subset: dict[str, list[str | int]] = Field(default_factory=dict)


class Prepare(Section):
    """`[prepare]`: image store -> patch store.

    operations: tables of {name, and that operation's own keys}, applied to whole frames.  times, slices: first
    and last, counted from 0.  executor: where the tasks run, so many at once; address: of a Dask scheduler or
    a Ray cluster that runs already.  codec: {name, and its own keys}.
    """

    source: str = ""
    patch: Patch
    operations: tuple[dict[str, JsonValue], ...] = ()
    subset: dict[str, list[str | int]] = Field(default_factory=dict)
    times: tuple[int, int] | None = None
    slices: tuple[int, int] | None = None
    seed: Seed = 0
    codec: dict[str, JsonValue] = Field(default_factory=_zstd)
    neighbours: LookAlikes | None = None
    executor: Literal["threads", "distributed", "ray"] = "threads"
    workers: int = Field(2, ge=1)
    address: str = ""

    @field_validator("times", "slices")
    @classmethod
    def _check_span(cls, span: tuple[int, int] | None) -> tuple[int, int] | None:
        if span and not 0 <= span[0] <= span[1]:
            raise ValueError("first and last are counted from 0, and the first is not after the last")
        return span

    @field_validator("codec")
    @classmethod
    def _check_codec(cls, keys: dict[str, Any]) -> dict[str, Any]:
        from storage.codecs import codec

        if "name" not in keys:
            raise ValueError("codec wants a name")
        codec(**keys)
        return keys

    @model_validator(mode="after")
    def _check_address(self) -> "Prepare":
        if self.address and self.executor == "threads":
            raise ValueError('address is that of a cluster: set executor to "distributed" or "ray"')
        return self
