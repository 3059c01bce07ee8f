"""Train tiny runs on groups of processes and write down what came out; test_exactness.py starts it.

    python gloo_ranks.py FOLDER

Four processes are forked once. For each number of workers the first so many of them form a group, train
without a break, go on from a checkpoint of the group before, and write rank-R.json.
"""

import json
import multiprocessing
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file

from distgan.checkpoint import Checkpoints
from distgan.config import config_from_tables
from distgan.data import Feed
from distgan.distributed import Group
from distgan.method import build
from distgan.methods import load_method
from distgan.trainer import Trainer

GROUPS = (1, 2, 3, 4, 1)
NORMS = ("layer", "batch")
SHARDS, BATCH, STEPS, KEPT = 4, 16, 5, 3


def trainer(norm: str, group: Group, reduction: str = "exact") -> Trainer:
    config = config_from_tables(
        {
            "run": {
                "name": "tiny",
                "images": BATCH * STEPS,
                "batch_size": BATCH,
                "workers": group.size,
                "virtual_shards": SHARDS,
                "reduction": reduction,
            },
            "data": {"store": "none"},
            "method": {
                "name": "wgan_gp",
                "width": 4,
                "critic_width": 4,
                "noise": 8,
                "critic_norm": norm,
                "critic_steps": 2,
            },
            "evaluate": {"every_images": BATCH},
            "checkpoint": {"every_images": BATCH},
        },
        "the test",
    )
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 32, 32), np.uint8)
    store = SimpleNamespace(read=lambda rows: images[rows], value_range=(0.0, 255.0))
    feed = Feed(store, np.arange(len(images)), 0, torch.device("cpu"))  # type: ignore[arg-type]
    return Trainer(config, build(load_method("wgan_gp"), config.method, (1, 32, 32), 0), feed, group)


def one_group(group: Group, before: int, folder: Path) -> dict[str, str]:
    """Digests by what was done.  before: workers of the group whose checkpoints are there, 0 for none."""
    found = {}
    for norm in NORMS:
        run = trainer(norm, group)
        for _ in range(STEPS):
            run.step()
            found[f"{norm} {before}-{group.size} step {run.steps}"] = run.digest()
            if run.steps == KEPT and group.leads:
                Checkpoints(folder / norm / str(group.size), 2).save(run.collect(), run.counters())
        if before:
            snapshot = Checkpoints(folder / norm / str(before), 2).latest()
            resumed = trainer(norm, group)
            resumed.restore(snapshot.state, snapshot.facts["steps"])
            while resumed.steps < STEPS:
                resumed.step()
            found[f"{norm} {before}-{group.size} resumed"] = resumed.digest()
    for reduction in ("exact", "fast"):
        run = trainer("layer", group, reduction)
        run.step()
        found[f"{reduction} {before}-{group.size}"] = run.digest()
        if group.leads:
            save_file(run.collect(), folder / f"{reduction}-{group.size}.safetensors")
    return found


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    found: dict[str, str] = {}
    for number, size in enumerate(GROUPS):
        if rank < size:
            address = f"file://{folder}/group-{number}"
            dist.init_process_group("gloo", address, timedelta(seconds=60), size, rank)
            try:
                found |= one_group(Group(rank, size), GROUPS[number - 1] if number else 0, folder)
            finally:
                dist.destroy_process_group()
    (folder / f"rank-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")  # torch is imported once, not four times
    processes = [fork.Process(target=process, args=(rank, Path(sys.argv[1]))) for rank in range(max(GROUPS))]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    sys.exit(max(abs(one.exitcode or 0) for one in processes))
