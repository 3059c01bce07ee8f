"""`[fractions]`: how many labels are needed, found by training on ever smaller shares of them."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from distgan.config.sections import Section
from storage.names import safe_name
from storage.shares import Rule

Part = Annotated[float, Field(gt=0, le=1)]
DRAWN = ("data.store", "data.subset", "data.split", "data.validation", "data.fraction", "data.draw", "data.allow")
"""Keys by which samples are chosen."""
FIXED = (*DRAWN, "run.name", "run.seed", "fractions", "tune")
"""What no variant may set: variants are compared on the same samples."""


class Fractions(Section):
    """`[fractions]`: the recipe is trained for every share, repeat, fold and variant.

    shares: of the samples that train.  repeats: each draws other samples, and has another run.seed; all variants of
    a repeat have the same.  variants: by name, the keys of the recipe it sets; the others are compared with the first.
    metric: a number of metrics.jsonl, at the end of training.  direction: whether it should be large or small.
    subset: how a share is drawn, a rule of `storage.shares`.  by: the column of the groups that are drawn one after the
    other and by which intervals are found; by default evaluate.groups, or data.split.by.  classes: the column of
    classes; by default data.split.stratify, or that of a classifier.
    folds: cross-validation over so many folds of data.split.by.  leave_one_out: a column, each value of which is held
    out in turn.  target: value of the metric, for which labels are counted.  resamples: of the bootstrap.
    keep: of a training that ended, its numbers and predictions alone, or everything.
    """

    shares: tuple[Part, ...] = Field(min_length=1)
    repeats: int = Field(20, ge=1)
    variants: dict[str, dict[str, Any]] = Field({"recipe": {}}, min_length=1)
    metric: str
    direction: Literal["max", "min"] = "max"
    subset: Rule = "nested"
    by: str = ""
    classes: str = ""
    folds: int | None = Field(None, ge=2)
    leave_one_out: str = ""
    target: float | None = None
    resamples: int = Field(1000, ge=100)
    keep: Literal["numbers", "all"] = "numbers"

    @field_validator("shares")
    @classmethod
    def _check_shares(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(shares)) < len(shares):
            raise ValueError("a share stands there twice")
        return shares

    @field_validator("variants")
    @classmethod
    def _check_variants(cls, variants: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, keys in variants.items():
            safe_name(name, "fractions.variants")
            for key in keys:
                if key.startswith(FIXED):
                    raise ValueError(f"{name} sets {key}, and variants differ in all but the samples and the seed")
        return variants

    @model_validator(mode="after")
    def _check_one_way(self) -> "Fractions":
        if self.folds is not None and self.leave_one_out:
            raise ValueError("folds and leave_one_out contradict each other: keep one")
        return self
