"""The tables of a recipe that trains, each frozen, checked, and closed to keys it does not know."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from storage.names import safe_name
from storage.shares import Rule

Seed = Annotated[int, Field(ge=0, lt=2**62)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A table of a recipe: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Run(Section):
    """`[run]`: how long, how large, on how many workers.

    images: real images to see, in all.  batch_size: images a step over all workers.
    workers: how many, or [least, most]: then each attempt takes as many as there is room for.
    virtual_shards: into how many equal parts a batch is split, whatever the number of workers; by
    default the most workers; kept on resume.  threads_per_worker: changes the last bits.
    on_nonfinite: when a turn's mean loss or gradient is not a finite number: "stop"; "skip" the turn, so that nothing
    moves; or "rewind" to the last checkpoint, and skip it if it fails again there, three times at most.
    precision: in which losses are computed; weights and their gradients stay float32.
    memory_format: in which order weights of N C H W lie in memory; "channels_last" gives other last bits.
    compile: "default" makes machine code of the losses by torch.compile, also to other last bits.
    """

    name: str
    seed: Seed = 0
    images: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    workers: int | tuple[int, int] = 1
    virtual_shards: int = Field(1, ge=1)
    reduction: Literal["exact", "fast"] = "exact"
    threads_per_worker: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1.0, gt=0)
    gpus_per_worker: float = Field(0.0, ge=0)
    on_nonfinite: Literal["stop", "skip", "rewind"] = "stop"
    precision: Literal["float32", "bfloat16"] = "float32"
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    compile: Literal["off", "default"] = "off"
    log_every_images: int = Field(10_000, gt=0)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return safe_name(name, "run.name")

    @field_validator("workers", mode="before")
    @classmethod
    def _check_workers(cls, given: Any) -> Any:
        pair = given if isinstance(given, list | tuple) else (given, given)
        if len(pair) != 2 or any(type(count) is not int for count in pair) or not 1 <= pair[0] <= pair[1]:
            raise ValueError("it is a whole number of 1 or more, or two: [least, most]")
        return given

    @model_validator(mode="before")
    @classmethod
    def _default_shards(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and not fields.get("virtual_shards"):
            workers = fields.get("workers", 1)
            most = workers[-1] if isinstance(workers, list | tuple) and workers else workers
            return fields | {"virtual_shards": most}
        return fields

    @model_validator(mode="after")
    def _check_shards(self) -> "Run":
        if self.batch_size % self.virtual_shards:
            below = self.batch_size // self.virtual_shards * self.virtual_shards
            near = [str(size) for size in (below, below + self.virtual_shards) if size]
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of virtual_shards {self.virtual_shards}; "
                f"the nearest that are: {' and '.join(near)}"
            )
        if self.most_workers > self.virtual_shards:
            raise ValueError(f"workers {self.most_workers} is more than virtual_shards {self.virtual_shards}")
        return self

    @property
    def least_workers(self) -> int:
        """Fewer cannot begin."""
        return self.workers[0] if isinstance(self.workers, tuple) else self.workers

    @property
    def most_workers(self) -> int:
        """More are never started."""
        return self.workers[1] if isinstance(self.workers, tuple) else self.workers


class Split(Section):
    """`[data.split]`: which groups are held out. by: the metadata column that names the group.

    One of: held_out, a share of the groups (0.1 if nothing is said); fold, one of so many folds; leave_out, one
    group by its name. stratify: a column of classes; the groups of each class are dealt by themselves.
    stable: a group is held out by its own name alone, and stays where it is when data are added; held_out is then the
    share on average.
    `split = "paper"` is the split its authors published: column "split", where leave_out is "test".
    """

    by: str
    held_out: float | None = Field(None, ge=0, lt=1)
    folds: int | None = Field(None, ge=2)
    fold: int | None = Field(None, ge=0)
    leave_out: str | int | None = None
    stratify: str | None = None
    stable: bool = False
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, fields: Any) -> Any:
        if fields == "paper":
            return {"by": "split", "leave_out": "test"}
        if isinstance(fields, dict) and all(
            fields.get(key) is None for key in ("held_out", "folds", "fold", "leave_out")
        ):
            return fields | {"held_out": 0.1}
        return fields

    @model_validator(mode="after")
    def _check_one_way(self) -> "Split":
        if (self.folds is None) != (self.fold is None):
            raise ValueError("folds and fold go together: fold is one of 0 .. folds - 1")
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is none of 0 .. {self.folds - 1}")
        given = [key for key in ("held_out", "folds", "leave_out") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} contradict each other: keep one")
        if self.leave_out is not None and self.stratify is not None:
            raise ValueError("leave_out names its group, so stratify has nothing to deal")
        if self.stable and (self.held_out is None or self.stratify is not None):
            raise ValueError("stable goes with held_out alone: a fold, a class or a named group depends on the others")
        return self


class Draw(Section):
    """`[data.draw]`: how data.fraction is drawn from the samples that would train.  rule: of `storage.shares`.

    by: the column of groups; "" is that of [data.split], or each sample by itself.  classes: the column of classes;
    "" is data.split.stratify, or none.
    """

    rule: Rule = "nested"
    by: str = ""
    classes: str = ""
    seed: Seed = 0


class Made(Section):
    """`[data.made]`: made samples that train, too.

    store: a patch store, as `distgan sample --out NAME.zarr` writes it.  part: of every batch that is made: "half", or
    "all", so that no real sample trains.
    """

    store: str
    part: Literal["half", "all"] = "half"


class Data(Section):
    """`[data]`: what is trained on.

    store: a patch store.  subset: metadata columns and the values wanted.  validation: a split of what is not held
    out, by which checkpoints are chosen and the end is found.  fraction: share of the groups
    that are not held out to train on; a smaller share is part of a larger one.  draw: another way to take it.
    strata: a column of classes; every batch has equally many of each, and "" is as they come.  resident: where the
    samples lie: on the device, in memory (one copy per node), or on disk, from where shuffled blocks are read along;
    by default the first of these where they fit.  allow: faults of the data that are known and accepted.
    made: samples of another store that train, too, and are never held out; in memory.
    """

    store: str
    subset: dict[str, list[str | int]] = {}
    fraction: float = Field(1.0, gt=0, le=1)
    draw: Draw | None = None
    split: Split | None = None
    validation: Split | None = None
    strata: str | None = None
    resident: Literal["auto", "device", "memory", "stream"] = "auto"
    allow: tuple[Literal["duplicates"], ...] = ()
    made: Made | None = None

    @model_validator(mode="after")
    def _check_strata(self) -> "Data":
        if self.made and (self.strata or self.resident == "stream"):
            raise ValueError("made samples are mixed in memory: leave out data.strata and data.resident, or data.made")
        if self.strata and self.resident == "stream":
            raise ValueError('strata wants every sample at hand, so resident cannot be "stream"')
        if self.validation is not None and self.split is None:
            raise ValueError("validation is a split of what data.split does not hold out: set that, too")
        return self


class Augment(Section):
    """`[augment]`: of training images; 0 and false are off. Each channel of each image is drawn by itself.

    flip: mirrored along y, x, both or neither.  quarter_turns: up to three.  shift_px: most pixels along y and x;
    border: what comes in.  blur_px: largest sigma of a Gaussian.  gamma: how far intensities are bent to their square
    or their root; 1 is all the way.  gain: intensities are multiplied by 1 - gain to 1 + gain.  offset: added, as a
    part of the range from black to white.  noise: largest standard deviation, as a part of that range.  shot_noise:
    that at white; its variance is proportional to the intensity.
    """

    flip: bool = False
    quarter_turns: bool = False
    shift_px: int = Field(default=0, ge=0)
    shift_probability: Share = 1.0
    subpixel: bool = False
    border: Literal["reflect", "black"] = "reflect"
    blur_px: float = Field(default=0.0, ge=0, le=16)
    blur_probability: Share = 1.0
    gamma: Share = 0.0
    gain: Share = 0.0
    offset: Share = 0.0
    intensity_probability: Share = 1.0
    noise: Share = 0.0
    shot_noise: Share = 0.0
    noise_probability: Share = 1.0


class Optimizer(Section):
    """`[optimizer]` and `[optimizer.NETWORK]`.

    schedule: of the learning rate over the run; "linear" and "cosine" end at zero, "staircase" multiplies it by `decay`
    after every `decay_images`.  hold: share of the run after which "linear" and "cosine" begin.
    """

    kind: Literal["adam", "rmsprop", "sgd"] = "adam"
    lr: float = Field(gt=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    schedule: Literal["constant", "linear", "cosine", "staircase"] = "constant"
    decay: float = Field(1.0, gt=0, le=1)
    decay_images: int = Field(10_000, gt=0)
    warmup_images: int = Field(0, ge=0)
    hold: float = Field(0.0, ge=0, lt=1)


class Ema(Section):
    """`[ema]`: the moving average of the networks that are sampled from.  half_life_images: 0 is no average."""

    half_life_images: int = Field(default=10_000, ge=0)


class Init(Section):
    """`[init.NETWORK]`: a model whose weights a network begins with; `NETWORK = "MODEL"` says the same.

    model: models:/NAME@ALIAS, models:/NAME/VERSION, or a folder.  network: of that model, by default the one of the
    same name.  address, digest: of the very model, written when the run begins; a run that goes on uses its own.
    """

    model: str
    network: str = ""
    address: str = ""
    digest: str = ""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, fields: Any) -> Any:
        return {"model": fields} if isinstance(fields, str) else fields


class Detection(Section):
    """`[evaluate.detection]`: whole images of known truth, for `metrics = [..., "detection"]`.

    store: of the images; they have the column of data.split, and only those of its held-out groups are looked at.
    truth: a table of boxes, as `distgan detect` takes it.  subset: of the images.  images: at most so many of them,
    spread evenly.  stride: of the windows, in pixels.
    """

    store: str
    truth: str
    subset: dict[str, list[str | int]] = {}
    images: int = Field(40, ge=1)
    stride: int = Field(8, ge=1)

    @field_validator("store", "truth")
    @classmethod
    def _absolute(cls, path: str) -> str:
        """Workers may run in other folders."""
        return str(Path(path).absolute())


class Evaluate(Section):
    """`[evaluate]`: what is measured along the run.  metrics: files of `distgan.evaluations`.

    samples: images on each side of a comparison.  groups: the metadata column whose groups an interval draws again; by
    default that of data.split.  best: the metric whose best checkpoint is kept besides the newest;
    "headline" is that of the first of `metrics`, "" is none.  patience: the run ends after so many evaluations
    without a better one; 0 is never.  figures: whether they are drawn.  detection: where "detection" looks.
    """

    metrics: tuple[str, ...] = Field(("kid",), min_length=1)
    every_images: int = Field(gt=0)
    samples: int = Field(2000, ge=100)
    groups: str = ""
    best: str = "headline"
    patience: int = Field(0, ge=0)
    figures: bool = True
    detection: Detection | None = None

    @field_validator("metrics")
    @classmethod
    def _check_metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from distgan.evaluations import evaluation_names

        if unknown := [name for name in names if name not in evaluation_names()]:
            raise ValueError(f"there is no {unknown[0]!r}, there are {', '.join(evaluation_names())}")
        return names

    @model_validator(mode="after")
    def _check_patience(self) -> "Evaluate":
        if self.patience and not self.best:
            raise ValueError("patience wants to know what is better: set best")
        return self


class Watch(Section):
    """`[watch]`: what is made of findings (`monitoring.watch`).  stop: those that end the run, after a checkpoint."""

    stop: tuple[Literal["divergence", "saturation", "collapse"], ...] = ()


class Checkpoint(Section):
    """`[checkpoint]`: how often the whole state is committed, and how many are kept."""

    every_images: int = Field(gt=0)
    keep: int = Field(2, ge=2)


class Register(Section):
    """`[register]`: under which name and alias the model is kept; by default the run's name.

    which: the state that becomes the model: the last, or the best as of `evaluate.best`.  licence: of the data, for the
    model's card; by default that of a known data set.  intended_use: for the card, too.
    """

    name: str = ""
    which: Literal["last", "best"] = "last"
    alias: str = "candidate"
    licence: str = ""
    intended_use: str = ""

    @field_validator("name", "alias")
    @classmethod
    def _check_names(cls, name: str) -> str:
        return safe_name(name, "a name of [register]") if name else name


class Cluster(Section):
    """`[cluster]`: address of a running Ray cluster; by default $RAY_ADDRESS, or Ray on this machine.

    grows_to: what a cluster that starts machines when asked can have at most, such as { CPU = 64, GPU = 8 }; a recipe
    that wants more than there is now is then waited for.
    """

    address: str = ""
    grows_to: dict[Literal["CPU", "GPU"], Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
