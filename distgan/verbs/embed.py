"""distgan embed: what a model knows of every sample."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distgan.verbs import Result, Verbs, model_argument, positive, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("embed", embed)
    model_argument(parser)
    parser.add_argument("store", type=Path, help="patch store")
    parser.add_argument("--out", type=Path, required=True, help="embedding store to write")
    parser.add_argument("--classical", action="store_true", help="measure classical features of cells, too")
    parser.add_argument("--workers", type=positive, help="Ray tasks at once; by default threads of this process")
    parser.add_argument("--table", type=Path, help="write it as one Parquet table, too")
    parser.add_argument("--anndata", type=Path, help="write it as AnnData reads it (a folder, .zarr), too")


def embed(options: argparse.Namespace) -> Result:
    """Write what a model knows of every sample of a patch store."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.inference.embed import embed as run_embed
    from distgan.monitoring.terminal import progress_bar
    from storage.anndata import export_anndata
    from storage.durable import require_nothing
    from storage.embeddings import export

    exports = [(write, to) for write, to in ((export, options.table), (export_anndata, options.anndata)) if to]
    for _, target in exports:
        require_nothing(target)
    model = resolve(Home.here(), options.model)
    with progress_bar(f"embedding {options.store}") as progress, _executor(options.workers) as executor:
        found = run_embed(
            Path(model),
            options.store,
            options.out,
            classical=options.classical,
            executor=executor,
            progress=progress,
        )
    for write, target in exports:
        write(found, target)
    sizes = ", ".join(f"{name} of {size}" for name, size in found.sizes.items())
    say(f"{found.obs.num_rows:,} samples, {sizes}: {options.out}")
    return {
        "out": str(options.out),
        "samples": found.obs.num_rows,
        "features": dict(found.sizes),
        "digest": found.digest,
        "table": str(options.table) if options.table else None,
        "anndata": str(options.anndata) if options.anndata else None,
    }


@contextlib.contextmanager
def _executor(workers: int | None) -> Iterator[Any]:
    """Where the tasks run: on Ray, or (None) where `embed` finds best."""
    if workers is None:
        yield None
        return
    from cluster.executors import ray_tasks
    from cluster.home import Home

    with ray_tasks(workers, "", Home.here()) as run:
        yield run
