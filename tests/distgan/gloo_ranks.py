"""Train tiny runs on groups of processes and write down what came out; test_exactness.py starts it.

    python gloo_ranks.py FOLDER

Four processes are forked once. For each number of workers the first so many of them form a group, train
without a break, take the run that the group before left one step further, and write rank-R.json.
"""

import json
import multiprocessing
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn

from distgan.config.run_config import config_from_tables
from distgan.data.batches import Feed, Known
from distgan.engine.checkpoint import Checkpoints
from distgan.engine.distributed import Group
from distgan.engine.nonfinite import NonFinite
from distgan.engine.trainer import Trainer
from distgan.method import Batch, Method, MethodConfig, Sample, Step, Terms, Turn, build
from distgan.methods import load_method
from storage.errors import InternalError
from storage.sampler import StratifiedSampler

GROUPS = (4, 1, 3, 2)
STEPS, KEPT = 5, 2
CASES: dict[str, dict[str, dict[str, object]]] = {
    "layer": {"run": {"virtual_shards": 4, "batch_size": 16}, "method": {"critic_norm": "layer"}},
    "batch": {"run": {"virtual_shards": 4, "batch_size": 16}, "method": {"critic_norm": "batch"}},
    "bfloat16": {
        "run": {"virtual_shards": 6, "batch_size": 12, "precision": "bfloat16"},
        "method": {"critic_norm": "batch"},
    },
    "channels_last": {
        "run": {"virtual_shards": 6, "batch_size": 12, "memory_format": "channels_last"},
        "method": {"critic_norm": "layer", "penalty_every": 3},
    },
    "pool": {"run": {"virtual_shards": 6, "batch_size": 12}},
    "balance": {
        "run": {"virtual_shards": 6, "batch_size": 12},
        "method": {"name": "began", "width": 4, "critic_width": 4, "control": 0.5},
    },
    "dropout": {
        "run": {"virtual_shards": 4, "batch_size": 16},
        "method": {"name": "bigan", "width": 4, "critic_width": 4, "dense_width": 4},
    },
    "star": {
        "run": {"virtual_shards": 6, "batch_size": 12},
        "method": {"name": "star_wgan_gp", "noise": 4, "width": 4, "critic_width": 4, "critic_steps": 2},
    },
    "look-alikes": {
        "run": {"virtual_shards": 4, "batch_size": 16},
        "method": {"name": "multichannel_wgan_gp", "noise": 4, "width": 4, "critic_width": 4, "critic_steps": 2},
    },
}


class Pooled(Method):
    """A critic that is shown three fakes of the steps before, by shard, and weighed by what it said before."""

    Config = MethodConfig
    networks: ClassVar[tuple[str, ...]] = ("critic", "generator")
    averaged: ClassVar[tuple[str, ...]] = ("generator",)

    def __init__(self, config: object, sample: Sample) -> None:
        super().__init__(config, sample)
        self.critic = nn.Sequential(
            nn.Flatten(), nn.Linear(1024, 8), nn.BatchNorm1d(8), nn.LeakyReLU(), nn.Linear(8, 1)
        )
        self.generator = nn.Linear(4, 1024)
        self.register_buffer("weight", torch.tensor(0.1))

    def shard_state(self) -> Mapping[str, Tensor]:
        return {"pool": torch.zeros(3, 1, 32, 32), "filled": torch.tensor(0)}

    def turns(self) -> tuple[Turn, ...]:
        return (
            Turn("critic", ("critic",), self.critic_loss, times=2),
            Turn("generator", ("generator",), self.generator_loss, every=2),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        pool = torch.cat([self.preview(step)[:1].detach(), step.state["pool"]])[:3]
        step.state["pool"], step.state["filled"] = pool, (step.state["filled"] + 1).clamp(max=3)
        fakes = pool[: int(step.state["filled"])]
        scores = self.critic(torch.cat([step.batch.images, fakes]))
        real, fake = scores[: len(step.batch)], scores[len(step.batch) :]
        return {"real": (real - 1).square().mean(), "fake": self.weight * fake.square().mean()}

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        return {"generator": (self.critic(self.preview(step)) - 1).square().mean()}

    def after_step(self, terms: Terms) -> None:
        self.weight += 0.05 * (0.5 * terms["real"] - terms["fake"])

    def preview(self, step: Step) -> Tensor:
        return self.generator(step.normal("z", len(step.batch), 4)).tanh().view(-1, 1, 32, 32)


def trainer(case: str, group: Group, **run: object) -> Trainer:
    batch = CASES[case]["run"]["batch_size"]
    small = {"name": "wgan_gp", "width": 4, "critic_width": 4, "noise": 8, "critic_steps": 2}
    own = CASES[case].get("method", {})
    config = config_from_tables(
        {
            "run": {"name": "tiny", "images": 1000, "workers": group.size, **CASES[case]["run"], **run},
            "data": {"store": "none"},
            "method": own if "name" in own else small | own,
            "evaluate": {"every_images": batch},
            "checkpoint": {"every_images": batch},
        },
        "the test",
    )
    kind = Pooled if case == "pool" else load_method(config.method.name)
    images = np.random.default_rng(0).integers(0, 256, (40, kind.least_channels, 32, 32), np.uint8)
    store = SimpleNamespace(read=lambda rows: images[rows], value_range=(0.0, 255.0))
    classes = np.random.default_rng(1).integers(0, 2, 40)
    known = Known({name: torch.from_numpy(classes) for name in config.method.columns})
    if config.method.companions:
        known = replace(known, companions=np.random.default_rng(2).integers(0, 40, (40, 2, 3)))
    order = StratifiedSampler(classes.astype(np.str_), 0) if config.method.strata else None
    feed = Feed(store, np.arange(40), 0, torch.device("cpu"), order=order, known=known)  # type: ignore[arg-type]
    sample = Sample(images.shape[1:], classes=dict.fromkeys(config.method.columns, ("a", "b")))
    return Trainer(config, build(kind, config.method, sample, 0), feed, group)


def one_group(group: Group, before: int, folder: Path) -> dict[str, str]:
    """What was found, by what was done.  before: workers of the group that went before, 0 for none."""
    found = {}
    for case in CASES:
        run = trainer(case, group)
        for _ in range(STEPS):
            run.step()
            found[f"{case} {group.size} step {run.steps}"] = run.digest()
            if run.steps == KEPT and not before:
                save(run, folder / case / str(group.size))
        if before:
            snapshot = Checkpoints(folder / case / str(before), 2).latest()
            taken_over = trainer(case, group)
            taken_over.restore(snapshot.state, snapshot.facts["steps"])
            taken_over.step()
            found[f"{case} {group.size} after {taken_over.steps}"] = taken_over.digest()
            save(taken_over, folder / case / str(group.size))
    for reduction in ("exact", "fast"):
        run = trainer("layer", group, reduction=reduction)
        run.step()
        found[f"{reduction} {group.size}"] = run.digest()
        if group.leads:
            save_file(run.collect(), folder / f"{reduction}-{group.size}.safetensors")
    return found | faults(group)


def save(run: Trainer, folder: Path) -> None:
    """On the first rank; the others take part."""
    state = run.collect_on_first()
    if state is not None:
        Checkpoints(folder, 2).save(state, run.counters())


def faults(group: Group) -> dict[str, str]:
    """What every rank says when the last one goes wrong."""
    said = {}
    for policy in ("stop", "skip"):
        run = trainer("pool", group, on_nonfinite=policy)
        run.step()
        before, right = run.digest(), run.feed.batch
        if group.rank == group.size - 1:

            def wrong(position: int, count: int, right: Callable[..., Batch] = right) -> Batch:
                return Batch(right(position, count).images * float("nan"))

            run.feed.batch = wrong  # type: ignore[method-assign]
        try:
            run.take(run.turns[0], 0)
        except NonFinite as error:
            said[f"{policy} {group.size} said"] = error.found
        skipped, run.judge.skipped = run.judge.skipped, 0
        said[f"{policy} {group.size} skipped"] = str(skipped)
        said[f"{policy} {group.size} moved"] = str(run.digest() != before)
    if group.rank == group.size - 1:
        run.optimizers["critic"].state[run.method.critic[1].weight]["exp_avg"][0, 0] += 1e-6
    try:
        run.check_ranks()
    except InternalError as error:
        said[f"apart {group.size}"] = error.found
    return said


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    found: dict[str, str] = {}
    for number, size in enumerate(GROUPS):
        if rank < size:
            address = f"file://{folder}/group-{number}"
            dist.init_process_group("gloo", address, timedelta(seconds=240), size, rank)
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
