"""One description of a run: recipe -> overrides -> one frozen, complete, checked RunConfig.

A TOML file, `--set a.b=c` and a search all write the same dotted keys. The first thing merged is the
method's preset, then the recipe, then the overrides; what comes out names every number of the run.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from distgan.method import MethodConfig
from distgan.methods import load_method
from storage.errors import MissingError, RecipeError
from storage.names import safe_name

Tables = dict[str, Any]
Seed = Annotated[int, Field(ge=0, lt=2**62)]
Decay = Annotated[float, Field(ge=0, lt=1)]
RECIPES = Path(__file__).parent / "recipes"
NOT_TOML = (ValueError, RecursionError)
"""What tomllib raises; also for numbers of thousands of digits, and for very deep brackets."""


class Section(BaseModel):
    """A table of a recipe: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Run(Section):
    """`[run]`: how long, how large, on how many workers.

    images: real images to see, in all.  batch_size: images a step over all workers.
    virtual_shards: into how many equal parts a batch is split, whatever the number of workers; by
    default the number of workers; kept on resume.  threads_per_worker: changes the last bits.
    """

    name: str
    seed: Seed = 0
    images: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    workers: int = Field(1, ge=1)
    virtual_shards: int = Field(1, ge=1)
    reduction: Literal["exact", "fast"] = "exact"
    threads_per_worker: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1.0, gt=0)
    gpus_per_worker: float = Field(0.0, ge=0)
    on_nonfinite: Literal["stop"] = "stop"
    log_every_images: int = Field(10_000, gt=0)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return safe_name(name, "run.name")

    @model_validator(mode="before")
    @classmethod
    def _default_shards(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and not fields.get("virtual_shards"):
            return fields | {"virtual_shards": fields.get("workers", 1)}
        return fields

    @model_validator(mode="after")
    def _check_shards(self) -> "Run":
        if self.batch_size % self.virtual_shards:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of virtual_shards {self.virtual_shards}")
        if self.workers > self.virtual_shards:
            raise ValueError(f"workers {self.workers} is more than virtual_shards {self.virtual_shards}")
        return self


class Split(Section):
    """`[data.split]`: which groups are held out.  by: a metadata column.  held_out: share of its groups."""

    by: str
    held_out: float = Field(0.1, ge=0, lt=1)
    seed: Seed = 0


class Data(Section):
    """`[data]`: what is trained on.

    store: a patch store.  subset: metadata columns and the values wanted.  fraction: share of the groups
    that are not held out to train on; a smaller share is part of a larger one.
    """

    store: str
    subset: dict[str, list[str | int]] = {}
    fraction: float = Field(1.0, gt=0, le=1)
    split: Split | None = None


class Optimizer(Section):
    """`[optimizer]` and `[optimizer.NETWORK]`.

    schedule: of the learning rate over the run; "linear" and "cosine" end at zero.
    """

    kind: Literal["adam", "rmsprop", "sgd"] = "adam"
    lr: float = Field(gt=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_images: int = Field(0, ge=0)


class Ema(Section):
    """`[ema]`: the moving average of the networks that are sampled from."""

    half_life_images: int = Field(default=10_000, gt=0)


class Evaluate(Section):
    """`[evaluate]`: what is measured along the run.  samples: images on each side of a comparison."""

    metrics: tuple[Literal["kid"], ...] = Field(("kid",), min_length=1)
    every_images: int = Field(gt=0)
    samples: int = Field(2000, ge=100)


class Checkpoint(Section):
    """`[checkpoint]`: how often the whole state is committed, and how many are kept."""

    every_images: int = Field(gt=0)
    keep: int = Field(2, ge=2)


class Patch(Section):
    """`[prepare.patch]`: side in pixels, and one random patch per plane or all that tile it."""

    size: int = Field(gt=0)
    cut: Literal["one_random", "tiled"] = "tiled"


class Prepare(Section):
    """`[prepare]`: image store -> patch store.  threads: of Dask."""

    source: str
    patch: Patch
    operations: tuple[dict[str, JsonValue], ...] = ()
    subset: dict[str, list[str | int]] = {}
    seed: Seed = 0
    threads: int = Field(2, ge=1)


class Register(Section):
    """`[register]`: under which name and alias the model is kept; by default the run's name."""

    name: str = ""
    alias: str = "candidate"


class Cluster(Section):
    """`[cluster]`: address of a running Ray cluster; by default $RAY_ADDRESS, or Ray on this machine."""

    address: str = ""


MethodTable = TypeVar("MethodTable", bound=MethodConfig)


class RunConfig(Section, Generic[MethodTable]):
    """Everything a run depends on. Printed, sent to the workers, logged, and kept in every checkpoint."""

    run: Run
    data: Data
    method: MethodTable
    optimizer: dict[str, Optimizer]
    ema: Ema = Ema()
    evaluate: Evaluate
    checkpoint: Checkpoint
    prepare: Prepare | None = None
    register_: Register = Field(Register(), alias="register")
    cluster: Cluster = Cluster()

    @property
    def shard_size(self) -> int:
        """Images of a virtual shard in one batch."""
        return self.run.batch_size // self.run.virtual_shards

    def dump(self) -> Tables:
        """As JSON values; `config_from_tables` reads them back."""
        return self.model_dump(mode="json", by_alias=True)

    def flat(self) -> dict[str, Any]:
        """One entry per dotted key."""
        return dict(_flatten(self.dump()))


AnyRun = RunConfig[Any]


def read_config(recipe: Path, overrides: Sequence[str] = ()) -> AnyRun:
    """Read a recipe and apply `key=value` overrides.

    Raises MissingError: there is no such file.  Raises RecipeError: it is no TOML, or has unknown keys
    or values out of range; all of them are named at once.
    """
    return config_from_tables(read_tables(recipe, overrides), str(recipe))


def read_tables(recipe: Path, overrides: Sequence[str] = ()) -> Tables:
    """The tables of a recipe with the overrides in them, unchecked."""
    path = recipe if recipe.is_file() else RECIPES / f"{recipe.name.removesuffix('.toml')}.toml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in RECIPES.glob("*.toml")))
        raise MissingError(f"there is no recipe {recipe}", f"the recipes that come along are {known}", "Check the path")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except NOT_TOML as error:
        raise RecipeError(f"{path} is not a TOML file", str(error), "Mend that line") from None
    for override in overrides:
        apply_override(tables, override)
    return tables


def apply_override(tables: Tables, override: str) -> None:
    """Set one dotted key: `method.penalty=5`. The value is read as TOML, else as text."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise RecipeError("--set wants KEY=VALUE", repr(override), "Write for example --set method.penalty=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except NOT_TOML:
        value = text
    *parents, last = key.strip().split(".")
    for parent in parents:
        tables = tables.setdefault(parent, {})
        if not isinstance(tables, dict):
            raise RecipeError(f"--set {key} goes through a value", f"{parent} is {tables!r}", "Name a table's key")
    tables[last] = value


def config_from_tables(tables: Mapping[str, Any], origin: str) -> AnyRun:
    """The checked description of a run.  origin: where the tables came from, for the message."""
    method = tables.get("method")
    if not isinstance(method, Mapping) or not isinstance(method.get("name"), str):
        raise RecipeError(f"{origin} names no method", "no method.name", 'Add name = "wgan_gp" under [method]')
    kind = load_method(method["name"])
    preset = method.get("preset", "default")
    if not isinstance(preset, str) or preset not in kind.presets:
        known = ", ".join(kind.presets)
        raise RecipeError(
            f"{method['name']} has no preset {preset!r}",
            f"the presets are {known}",
            "Set method.preset to one of these",
        )
    merged = _merge(kind.presets[preset], tables)
    merged["optimizer"] = _per_network(merged.get("optimizer", {}), kind.networks)
    model = RunConfig[kind.Config]  # type: ignore[name-defined]
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        raise RecipeError(
            f"{origin} is not a recipe",
            "; ".join(_complaint(model, dict(one)) for one in error.errors()),
            "Mend these keys, or see them all with --dry-run on a recipe of distgan/recipes",
        ) from None


def _per_network(table: Any, networks: tuple[str, ...]) -> Any:
    """One complete optimizer table per network: the common keys, overridden by the network's own."""
    if not isinstance(table, Mapping):
        return table
    common = {key: value for key, value in table.items() if key not in networks and not isinstance(value, Mapping)}
    unknown = [key for key, value in table.items() if isinstance(value, Mapping) and key not in networks]
    if unknown:
        raise RecipeError(
            f"[optimizer.{unknown[0]}] names no network", f"the networks are {', '.join(networks)}", "Use one of these"
        )
    own = {name: table.get(name, {}) for name in networks}
    return {name: _merge(common, value) if isinstance(value, Mapping) else value for name, value in own.items()}


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tables:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, Mapping)
        merged[key] = _merge(inner, value) if both else value  # type: ignore[arg-type]
    return merged


def _flatten(tables: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in tables.items():
        inner = isinstance(value, Mapping) and value
        flat += _flatten(value, f"{prefix}{key}.") if inner else [(prefix + key, value)]
    return flat


def _complaint(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    """One mistake: its dotted key, what is wrong, and the nearest right name."""
    place = [str(part) for part in error["loc"]]
    key = ".".join(place)
    if error["type"] == "extra_forbidden":
        known = _keys(model, place[:-1])
        near = difflib.get_close_matches(place[-1], known, 1)
        return f"unknown key {key}" + (f" (did you mean {'.'.join([*place[:-1], near[0]])}?)" if near else "")
    if error["type"] == "missing":
        return f"{key} is missing"
    given = "" if isinstance(error["input"], dict) else f", not {error['input']!r}"
    return f"{key}: {error['msg'].removeprefix('Value error, ')}{given}"


def _keys(model: type[BaseModel], place: list[str]) -> list[str]:
    """The keys of the table at a dotted place."""
    for part in place:
        names = {field.alias or name: field for name, field in model.model_fields.items()}
        if part in names:  # else the key of a dictionary of tables: optimizer.critic
            model = _model_in(names[part].annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
