"""The command line: the composition root. Each verb imports the layer it needs when it is called.

Progress and tables go to stderr; with --json exactly one JSON object goes to stdout, last. A failure is
one message of three parts and an exit code (see storage.errors).
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from storage.errors import DataError, DistganError, InternalError, RecipeError

Result = dict[str, Any]
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = _parser().parse_args(given)
        with contextlib.redirect_stdout(sys.stderr):  # Ray prints there, and stdout is for the one object
            result = options.verb(options)
    except KeyboardInterrupt:
        return _failed(InternalError("interrupted", "no checkpoint was waited for", "Run it again"), given, INTERRUPTED)
    except DistganError as error:
        return _failed(error, given, error.exit_code)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        bug = InternalError("this is a bug of ours", found, "Report it with what --debug prints")
        return _failed(bug, given, bug.exit_code)
    if options.json:
        print(json.dumps(result))
    return 0 if result.get("ok", True) else DataError.exit_code


def _failed(error: DistganError, given: Sequence[str], exit_code: int) -> int:
    if "--debug" in given:
        import traceback

        traceback.print_exc()
    print(f"error: {error.wrong}\n  found: {error.found}\n  do:    {error.do}", file=sys.stderr)
    if "--json" in given:
        print(json.dumps({"error": error.as_dict()}))
    return exit_code


def _say(text: str) -> None:
    from distgan.terminal import say

    say(text)


# data, stores


def data_list(options: argparse.Namespace) -> Result:
    """Print the known data sets."""
    from distgan.terminal import table
    from storage.datasets import dataset_names, load_dataset

    known = {name: load_dataset(name).ABOUT for name in dataset_names()}
    _say(table([{"name": name, "what": about.title, "source": about.source} for name, about in known.items()]))
    return {"datasets": [{"name": name, **vars(about)} for name, about in known.items()]}


def data_fetch(options: argparse.Namespace) -> Result:
    """Bring a data set into the cache."""
    from distgan.terminal import progress_bar
    from storage.datasets import load_dataset

    cache = Path(os.environ.get("DISTGAN_DATA") or _home() / "data")
    with progress_bar(f"fetching {options.name}") as progress:
        folder = load_dataset(options.name).fetch(cache, progress)
    _say(f"{options.name} is in {folder}, checked")
    return {"name": options.name, "folder": str(folder)}


def ingest(options: argparse.Namespace) -> Result:
    """Write a folder of image files into an image store, or sample arrays into a patch store."""
    from distgan.ingestion import layout_of, run_ingest

    layout = layout_of(options.source, options.dataset, options.pattern, options.table, options.channels)
    return run_ingest(options.source, options.store, layout, _threads())


def prepare(options: argparse.Namespace) -> Result:
    """Cut patches out of an image store."""
    from distgan.config import read_prepare
    from distgan.terminal import progress_bar
    from storage.cuts import Cut
    from storage.mining import Neighbours
    from storage.preprocess import Preparation
    from storage.preprocess import prepare as run_prepare

    how, store_named = read_prepare(options.recipe, options.set)
    source, target = str(options.store or how.source), str(options.patches or store_named)
    if not (source and target):
        raise RecipeError("a store is not named", f"from {source!r} to {target!r}", "Give STORE and PATCHES")
    patch, edges = how.patch, how.patch.edges
    cut = Cut(patch.cut, edges, patch.dimensions, patch.count, patch.boxes, patch.objects, patch.matched, patch.border)
    alike = Neighbours(**how.neighbours.model_dump()) if how.neighbours else None
    preparation = Preparation(
        cut, how.operations, patch.operations, how.subset, how.times, how.slices, how.seed, how.codec, alike
    )
    with progress_bar(f"preparing {target}") as progress, _executor(how) as executor:
        patches = run_prepare(Path(source), Path(target), preparation, executor=executor, progress=progress)
    _say(f"{patches.shape[0]:,} samples of {' x '.join(map(str, patches.shape[1:]))} {patches.dtype}: {target}")
    return {"store": target, "shape": list(patches.shape), "dtype": patches.dtype, "digest": patches.digest}


@contextlib.contextmanager
def _executor(how: Any) -> Iterator[Any]:
    """Where the tasks of `prepare` run."""
    from storage import executors

    if how.executor == "threads":
        yield executors.threads(how.workers)
    elif how.executor == "distributed":
        with executors.distributed(how.workers, how.address) as run:
            yield run
    else:
        from cluster.executors import ray_tasks
        from cluster.home import Home

        with ray_tasks(how.workers, how.address, Home.here()) as run:
            yield run


def verify(options: argparse.Namespace) -> Result:
    """Read every byte of a store, checkpoint or model, and name what is not as it was written."""
    from distgan.terminal import progress_bar, table
    from storage.verify import verify as run_verify

    with progress_bar(f"verifying {options.store}") as progress:
        faults = [vars(fault) for fault in run_verify(options.store, threads=_threads(), progress=progress)]
    _say(f"{len(faults):,} damaged:\n{table(faults)}" if faults else f"every byte of {options.store} is as written")
    return {"ok": not faults, "faults": faults}


def inspect(options: argparse.Namespace) -> Result:
    """Say what is in a store."""
    from distgan.inspection import inspect_store
    from distgan.terminal import report

    facts = inspect_store(options.store, options.figure)
    _say(report(facts))
    return facts


# training


def train(options: argparse.Namespace) -> Result:
    """Train a recipe on Ray, track it, and register its model."""
    from distgan.config import read_config

    config = read_config(options.recipe, options.set)
    _say("\n".join(f"{key} = {json.dumps(value)}" for key, value in config.flat().items()))
    if options.dry_run:
        return {"recipe": config.dump()}
    if options.profile:
        return _profiled(config)
    from cluster.home import Home
    from cluster.train import train as run_train
    from distgan.checkpoint import Checkpoints
    from distgan.terminal import training_progress

    home = Home.here()
    kept = Checkpoints(home.run(config.run.name) / "checkpoints", config.checkpoint.keep)
    with training_progress(config.run.name, config.run.images) as show:
        outcome = run_train(
            config,
            home,
            resume=options.resume,
            strict=options.strict,
            watch=lambda seen, metrics: show(seen, metrics, kept.committed_images()),
        )
    _say(f"picture: {outcome.picture}\nrun:     {outcome.folder}\nmodel:   {outcome.model.address}")
    return {
        "run_id": outcome.run_id,
        "images_seen": outcome.images_seen,
        "state_sha256": outcome.state_sha256,
        "virtual_shards": outcome.virtual_shards,
        "checkpoint": str(outcome.checkpoint),
        "model": outcome.model.address,
        "metrics": outcome.metrics,
    }


def _profiled(config: Any) -> Result:
    import torch

    from distgan.profiling import profile
    from distgan.terminal import table

    device = torch.device("cuda" if torch.cuda.is_available() and config.run.gpus_per_worker else "cpu")
    parts = [vars(part) for part in profile(config, device)]
    _say(table(parts))
    return {"profile": parts}


def sample(options: argparse.Namespace) -> Result:
    """Write images made by a model."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.inference.sample import write_samples
    from distgan.model import load_model
    from distgan.terminal import progress_bar

    model = load_model(resolve(Home.here(), options.model))
    with progress_bar("sampling") as progress:
        shape = write_samples(model, options.out, options.count, options.seed, progress)
    _say(f"{shape[0]} images: {options.out}")
    return {"out": str(options.out), "shape": list(shape)}


def models_list(options: argparse.Namespace) -> Result:
    """Print the registered models."""
    from cluster.home import Home
    from cluster.registry import list_versions
    from distgan.terminal import table

    rows = [
        {"name": one.name, "version": one.version, "aliases": list(one.aliases), "digest": one.digest}
        for one in list_versions(Home.here())
    ]
    _say(table([row | {"aliases": " ".join(row["aliases"]), "digest": row["digest"][:12]} for row in rows]))  # type: ignore[arg-type, index]
    return {"models": rows}


def models_show(options: argparse.Namespace) -> Result:
    """Print what a model says of itself."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.model import load_model

    model = load_model(resolve(Home.here(), options.model))
    card = model.card | {"digest": model.digest}
    _say("\n".join(f"{key}: {value}" for key, value in card.items() if key != "recipe"))
    return card


# demo


def demo(options: argparse.Namespace) -> Result:
    """Run the whole pipeline on synthetic embryos, by the same verbs a user would type."""
    folder = options.out or _next_free(_home() / "demo")
    if folder.exists():
        raise RecipeError(f"{folder} exists", "the demo begins from nothing", "Give another --out")
    os.environ["DISTGAN_DATA"] = str(folder)
    images, patches, recipe = folder / "embryos.ome.zarr", folder / "patches.zarr", "demo"
    run = f"{folder.name}" if options.out else f"demo-{folder.name}"
    _say(f"$ export DISTGAN_DATA={folder}")
    _step("data", "fetch", "synthetic_embryos")
    _step("ingest", str(folder / "synthetic_embryos"), str(images), "--dataset", "synthetic_embryos")
    _step("prepare", recipe, str(images), str(patches))
    _step("inspect", str(patches), "--figure", str(folder / "patches.png"))
    _step("train", recipe, "--set", f"run.name={run}", "--set", f"data.store={patches}")
    _step("sample", "models:/demo@candidate", "--out", str(folder / "samples.png"), "--count", "64")
    picture = max((_home() / "runs" / run / "figures").glob("samples-*.png"))
    _say(f"\nThe picture: {picture} (more samples: {folder / 'samples.png'})")
    _say(f"The run:     {_home() / 'runs' / run}")
    _say(f"Its curves:  mlflow ui --backend-store-uri sqlite:///{_home() / 'mlflow.db'}")
    _say("The model:   models:/demo@candidate (distgan models show models:/demo@candidate)")
    return {"picture": str(picture), "run": run, "model": "models:/demo@candidate"}


def _step(*arguments: str) -> None:
    """Say a command and run it; a failure of it is the demo's."""
    _say(f"\n$ distgan {' '.join(arguments)}")
    options = _parser().parse_args(arguments)
    options.verb(options)


def _next_free(folder: Path) -> Path:
    number = 1
    while (folder / str(number)).exists():
        number += 1
    return folder / str(number)


# the parser


class _Parser(argparse.ArgumentParser):
    """A mistake on the command line is told like any other."""

    def error(self, message: str) -> NoReturn:
        raise RecipeError("the command line cannot be understood", message, f"Run {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    common.add_argument("--debug", action="store_true", help="print the traceback of a failure")
    parser = _Parser(prog="distgan", description="Train GANs and autoencoders on microscopy, on a laptop or a cluster.")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB", parser_class=_Parser)

    def verb(group: Any, name: str, run: Callable[[argparse.Namespace], Result]) -> argparse.ArgumentParser:
        summary = (run.__doc__ or "").splitlines()[0]
        added: argparse.ArgumentParser = group.add_parser(name, help=summary, description=summary, parents=[common])
        added.set_defaults(verb=run)
        return added

    def group(name: str, summary: str) -> Any:
        parent = verbs.add_parser(name, help=summary, description=summary)
        return parent.add_subparsers(title="verbs", required=True, metavar="VERB", parser_class=_Parser)

    demonstrate = verb(verbs, "demo", demo)
    demonstrate.add_argument("--out", type=Path, help="a new folder; by default below $DISTGAN_HOME/demo")

    data = group("data", "Known public data sets.")
    verb(data, "list", data_list)
    verb(data, "fetch", data_fetch).add_argument("name")

    into_store = verb(verbs, "ingest", ingest)
    into_store.add_argument("source", type=Path, help="a folder of TIFF, JPEG, PNG or NPY files; or sample arrays")
    into_store.add_argument("store", type=Path, help="the store to write")
    into_store.add_argument("--dataset", default="", help="a known data set, which says what its file names mean")
    into_store.add_argument("--pattern", default="", help="of file names, such as {plate}/{well}_{field}_{channel}.tif")
    into_store.add_argument("--table", type=Path, metavar="CSV", help="more about the files, joined with the pattern")
    into_store.add_argument("--channels", type=_names, default=(), metavar="A,B,C", help="names, in order")

    into_patches = verb(verbs, "prepare", prepare)
    _recipe_arguments(into_patches)
    into_patches.add_argument("store", type=Path, nargs="?", help="image store; by default prepare.source")
    into_patches.add_argument("patches", type=Path, nargs="?", help="patch store to write; by default data.store")

    verb(verbs, "verify", verify).add_argument("store", type=Path, help="or a checkpoint, or a model")

    look = verb(verbs, "inspect", inspect)
    look.add_argument("store", type=Path)
    look.add_argument("--figure", type=Path, help="write a picture of it there")

    learn = verb(verbs, "train", train)
    _recipe_arguments(learn)
    learn.add_argument("--dry-run", action="store_true", help="print the complete recipe and stop")
    learn.add_argument("--profile", action="store_true", help="say where a step's time goes, and stop")
    learn.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    learn.add_argument("--strict", action="store_true", help="go on only where the same bits come out")

    draw = verb(verbs, "sample", sample)
    _model_argument(draw)
    draw.add_argument("--out", type=Path, required=True, help="a .png to look at; .npy or .tif for values")
    draw.add_argument("--count", type=_positive, default=64)
    draw.add_argument("--seed", type=int, default=0)

    models = group("models", "Registered models.")
    verb(models, "list", models_list)
    _model_argument(verb(models, "show", models_show))
    return parser


def _recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="a TOML file, or the name of one of distgan/recipes")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the recipe")


def _model_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="models:/NAME@ALIAS, models:/NAME/VERSION, or a folder")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if "" in names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of names, each its own")
    return names


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return int(text)


def _home() -> Path:
    from cluster.home import Home

    return Home.here().path


def _threads() -> int:
    return os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
