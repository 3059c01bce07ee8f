"""distgan demo: the whole pipeline on synthetic embryos."""

import argparse
import os
from pathlib import Path

from distgan.verbs import Result, Verbs, home, parser, say
from storage.errors import RecipeError


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    added = verbs.verb("demo", demo)
    added.add_argument("--out", type=Path, help="a new folder; by default below $DISTGAN_HOME/demo")


def demo(options: argparse.Namespace) -> Result:
    """Run the whole pipeline on synthetic embryos, by the same verbs a user would type."""
    folder = options.out or _next_free(home() / "demo")
    if folder.exists():
        raise RecipeError(f"{folder} exists", "the demo begins from nothing", "Give another --out")
    os.environ["DISTGAN_DATA"] = str(folder)
    images, patches, recipe = folder / "embryos.ome.zarr", folder / "patches.zarr", "demo"
    run = f"{folder.name}" if options.out else f"demo-{folder.name}"
    say(f"$ export DISTGAN_DATA={folder}")
    _step("data", "fetch", "synthetic_embryos")
    _step("ingest", str(folder / "synthetic_embryos"), str(images), "--dataset", "synthetic_embryos")
    _step("prepare", recipe, str(images), str(patches))
    _step("inspect", str(patches), "--figure", str(folder / "patches.png"))
    _step("train", recipe, "--set", f"run.name={run}", "--set", f"data.store={patches}")
    _step("sample", "models:/demo@candidate", "--out", str(folder / "samples.png"), "--count", "64")
    picture = max((home() / "runs" / run / "figures").glob("samples-*.png"))
    say(f"\nThe picture: {picture} (more samples: {folder / 'samples.png'})")
    say(f"The run:     {home() / 'runs' / run}")
    say(f"Its curves:  mlflow ui --backend-store-uri sqlite:///{home() / 'mlflow.db'}")
    say("The model:   models:/demo@candidate (distgan models show models:/demo@candidate)")
    return {"picture": str(picture), "run": run, "model": "models:/demo@candidate"}


def _step(*arguments: str) -> None:
    """Say a command and run it; a failure of it is the demo's."""
    say(f"\n$ distgan {' '.join(arguments)}")
    options = parser().parse_args(arguments)
    options.verb(options)


def _next_free(folder: Path) -> Path:
    number = 1
    while (folder / str(number)).exists():
        number += 1
    return folder / str(number)
