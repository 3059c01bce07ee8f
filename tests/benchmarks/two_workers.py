"""Two gloo processes train with exact and with fast reduction, in turns; test_engine_speed.py starts it.

    python two_workers.py WIDTH SHARDS

prints the generator's parameters, then seconds a step, exact and fast, for each round.
"""

import multiprocessing
import sys
import tempfile
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from distgan.config.run_config import config_from_tables
from distgan.data.batches import Feed
from distgan.engine.distributed import Group
from distgan.engine.trainer import Trainer
from distgan.method import Sample, build
from distgan.methods import load_method

BATCH, WORKERS, ROUNDS = 64, 2, 3
STEPS = 5
"""A turn of the generator and five of the critic."""


def trainer(width: int, shards: int, reduction: str, group: Group) -> Trainer:
    run = {"name": "bench", "images": 10**9, "batch_size": BATCH, "workers": WORKERS}
    tables = {
        "run": run | {"virtual_shards": shards, "reduction": reduction},
        "data": {"store": "none"},
        "method": {"name": "wgan_gp", "preset": "corrected", "width": width},
        "evaluate": {"every_images": 10**9},
        "checkpoint": {"every_images": 10**9},
    }
    config = config_from_tables(tables, "the benchmark")
    images = np.random.default_rng(0).integers(0, 256, (1000, 1, 32, 32), np.uint8)
    store: Any = SimpleNamespace(read=lambda rows: images[rows], value_range=(0.0, 255.0))
    feed = Feed(store, np.arange(len(images)), 0, torch.device("cpu"))
    return Trainer(config, build(load_method("wgan_gp"), config.method, Sample((1, 32, 32)), 0), feed, group)


def process(rank: int, folder: str, width: int, shards: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/group", timedelta(seconds=300), WORKERS, rank)
    group = Group(rank, WORKERS)
    both = [trainer(width, shards, reduction, group) for reduction in ("exact", "fast")]
    if group.leads:
        print(sum(p.numel() for p in both[0].method.parameters_of(("generator",))))
    for number in range(ROUNDS + 1):
        for one in both:
            dist.barrier()
            began = time.perf_counter()
            for _ in range(STEPS):
                one.step()
            dist.barrier()
            if group.leads and number:  # the first round warms up
                print((time.perf_counter() - began) / STEPS, flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        arguments = (folder, int(sys.argv[1]), int(sys.argv[2]))
        processes = [fork.Process(target=process, args=(rank, *arguments)) for rank in range(WORKERS)]
        for one in processes:
            one.start()
        for one in processes:
            one.join()
    sys.exit(max(abs(one.exitcode or 0) for one in processes))
