"""One description of a run: recipe -> overrides -> one frozen, complete, checked RunConfig.

A TOML file, `--set a.b=c` and a search all write the same dotted keys. The first thing merged is the
method's preset, then the recipe, then the overrides; what comes out names every number of the run.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, Field, ValidationError

from distgan.config.fraction_sections import Fractions
from distgan.config.prepare_sections import Prepare
from distgan.config.search_sections import Tune
from distgan.config.sections import (
    Augment,
    Checkpoint,
    Cluster,
    Data,
    Ema,
    Evaluate,
    Init,
    Optimizer,
    Register,
    Run,
    Section,
    Watch,
)
from distgan.method import MethodConfig
from distgan.methods import load_method
from storage.errors import MissingError, RecipeError

Tables = dict[str, Any]
RECIPES = Path(__file__).parents[1] / "recipes"
NOT_TOML = (ValueError, RecursionError)
"""What tomllib raises; also for numbers of thousands of digits, and for very deep brackets."""


MethodTable = TypeVar("MethodTable", bound=MethodConfig)


class RunConfig(Section, Generic[MethodTable]):
    """Everything a run depends on. Printed, sent to the workers, logged, and kept in every checkpoint."""

    run: Run
    data: Data
    augment: Augment = Augment()
    method: MethodTable
    optimizer: dict[str, Optimizer]
    ema: Ema = Ema()
    init: dict[str, Init] = Field(default_factory=dict)
    evaluate: Evaluate
    watch: Watch = Watch()
    checkpoint: Checkpoint
    prepare: Prepare | None = None
    register_: Register = Field(Register(), alias="register")
    cluster: Cluster = Cluster()
    fractions: Fractions | None = None
    tune: Tune | None = None

    @property
    def shard_size(self) -> int:
        """Images of a virtual shard in one batch."""
        return self.run.batch_size // self.run.virtual_shards

    def dump(self) -> Tables:
        """As JSON values; `config_from_tables` reads them back."""
        return self.model_dump(mode="json", by_alias=True)

    def flat(self) -> dict[str, Any]:
        """One entry per dotted key."""
        return dict(flat_keys(self.dump()))


AnyRun = RunConfig[Any]


class Target(Section):
    """`[data]` of a recipe that does not train.  store: the patch store to write."""

    store: str = ""


class StoresAlone(Section):
    """A recipe that prepares and does not train."""

    prepare: Prepare
    data: Target = Target()


def read_config(recipe: Path, overrides: Sequence[str] = ()) -> AnyRun:
    """Read a recipe and apply `key=value` overrides.

    Raises MissingError: there is no such file.  Raises RecipeError: it is no TOML, or has unknown keys
    or values out of range; all of them are named at once.
    """
    return config_from_tables(read_tables(recipe, overrides), str(recipe))


def read_prepare(recipe: Path, overrides: Sequence[str] = ()) -> tuple[Prepare, str]:
    """The `[prepare]` table of a recipe, and `data.store`; a recipe for stores alone needs nothing else.

    Raises MissingError, RecipeError: as `read_config`, or the recipe does not say how to prepare.
    """
    tables = read_tables(recipe, overrides)
    if "method" in tables:
        config = config_from_tables(tables, str(recipe))
        found, store = config.prepare, config.data.store
    else:
        alone = validated(StoresAlone, tables, str(recipe))
        found, store = alone.prepare, alone.data.store
    if found is None:
        raise RecipeError(f"{recipe} does not say how to prepare", "no [prepare]", "Add that table")
    return found, store


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
    _check_addresses(tables)
    return tables


def _check_addresses(tables: Tables) -> None:
    """Raise RecipeError: an address has a password in it. A recipe is kept with its run, in MLflow and in the model."""
    for key, value in flat_keys(tables):
        if isinstance(value, str) and re.search(r"://[^/\s]*@", value):
            raise RecipeError(
                "an address in the recipe has a name or a password in it",
                f"{key}; everybody who sees the run or its model could read it",
                "Leave it out of the address; passwords are read from the environment or from the service's own file",
            )


def set_from(overrides: Sequence[str]) -> Tables:
    """The tables that overrides make where there is no recipe, unchecked."""
    tables: Tables = {}
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
    set_key(tables, key.strip(), value)


def set_key(tables: Tables, key: str, value: Any) -> None:
    """Set one dotted key of the tables of a recipe, unchecked."""
    *parents, last = key.split(".")
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
    _check_names("init", merged.get("init"), kind.networks)
    config: AnyRun = validated(RunConfig[kind.Config], merged, origin)  # type: ignore[name-defined]
    if config.method.strata not in ("", config.data.strata):
        raise RecipeError(
            f"{config.method.name} wants equally many of each class in a batch",
            f"data.strata is {config.data.strata!r}, and its classes are those of {config.method.strata!r}",
            f'Set data.strata = "{config.method.strata}"',
        )
    return config


Model = TypeVar("Model", bound=Section)


def validated(model: type[Model], tables: Mapping[str, Any], origin: str) -> Model:
    """Tables as that model.  origin: where they came from.  Raises RecipeError: some keys are wrong; it names each."""
    try:
        return model.model_validate(tables)
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
    _check_names("optimizer", {key: value for key, value in table.items() if isinstance(value, Mapping)}, networks)
    own = {name: table.get(name, {}) for name in networks}
    return {name: _merge(common, value) if isinstance(value, Mapping) else value for name, value in own.items()}


def _check_names(section: str, table: Any, networks: tuple[str, ...]) -> None:
    unknown = [key for key in table if key not in networks] if isinstance(table, Mapping) else []
    if unknown:
        raise RecipeError(
            f"[{section}.{unknown[0]}] names no network", f"the networks are {', '.join(networks)}", "Use one of these"
        )


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tables:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, Mapping)
        merged[key] = _merge(inner, value) if both else value  # type: ignore[arg-type]
    return merged


def flat_keys(tables: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The dotted keys of nested tables, with their values."""
    flat: list[tuple[str, Any]] = []
    for key, value in tables.items():
        inner = isinstance(value, Mapping) and value
        flat += flat_keys(value, f"{prefix}{key}.") if inner else [(prefix + key, value)]
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
