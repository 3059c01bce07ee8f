"""What a model knows of every sample of a patch store, as an embedding store.

    representation   what the method says: a hidden layer, a bottleneck, the mean of a code
    pooled           every activation map on the way to it, each its mean over space
    intensity        five numbers of each channel, without any model: what features must be better than
    classical        if asked for: what is measured of cells without a model (`distgan.metrics.classical`)

One task is one shard. It reads a block of images at a time, and the images of a batch are always the same ones, on one
thread; so neither the workers nor a restart change a bit, and memory does not grow with the store.
"""

import functools
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from distgan.data.batches import to_unit_range
from distgan.model import Model, load_model
from storage.datasets import Progress
from storage.durable import require_nothing
from storage.embeddings import KIND, EmbeddingArrays, EmbeddingStore, Features
from storage.errors import DataError, RecipeError
from storage.executors import Executor, threads
from storage.journal import Work, resumable
from storage.manifest import Facts
from storage.patches import CHUNKS_PER_READ, PatchStore

FORMAT = 1
"""Of what is written; another number makes what a killed attempt has begun worthless."""
BATCH = {"cpu": 64, "cuda": 512}
"""Images that go through the networks at once."""
CACHED = 16
"""Images whose moments are found at a time: what is in between stays in the processor's cache."""
TASK_BYTES = 64 << 20
"""Images of a task, about."""
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus)


@dataclass(frozen=True)
class Job:
    """All that the tasks of one `embed` share: where the model and the patch store are, and what is written.

    classical: whether classical features are, too.
    """

    model: Path
    store: Path
    arrays: EmbeddingArrays
    device: str
    classical: bool


def embed(
    model: Path,
    store: Path,
    target: Path,
    *,
    classical: bool = False,
    executor: Executor | None = None,
    device: str | None = None,
    progress: Progress = lambda done, total: None,
) -> EmbeddingStore:
    """Write the features of every sample of `store` to a new embedding store at `target`.

    A call that was killed is gone on with by the same call. The result does not depend on the executor; without one,
    the tasks run on threads of this process, and on its GPU if there is one.
    classical: measure classical features, too; of flat images.
    Raises RecipeError: the samples are not such as the model was trained on, it has no representation, something
    stands at `target`, or classical features are asked for of images that are not flat.
    Raises DataError: the representation has values that are no numbers.
    """
    model, store, target = model.absolute(), store.absolute(), target.absolute()  # tasks may run in other folders
    require_nothing(target)
    device = device or ("cuda" if executor is None and torch.cuda.is_available() else "cpu")
    patches, embedder = _patches(store), _embedder(model, device)
    embedder.model.check_samples(patches)
    if classical and len(patches.shape) != 4:
        raise RecipeError("classical features are of flat images", f"samples of {patches.shape[1:]}", "Leave them out")
    before = torch.get_num_threads()
    try:
        sizes = {name: values.shape[1] for name, values in embedder(patches.read_rows(0, 1), classical).items()}
        step = patches.chunk * CHUNKS_PER_READ
        rows = step * max(1, TASK_BYTES // (step * patches.sample_bytes))
        job = Job(
            model, store, EmbeddingArrays(patches.shape[0], sizes, min(rows, patches.shape[0])), device, classical
        )
        facts: Facts = {
            "features": sizes,
            "rows": job.arrays.rows,
            "method": embedder.model.config.method.name,
            "model": embedder.model.digest,
            "patch_store": patches.digest,
            "device": device,
        }
        with resumable(target, KIND, facts, _key(facts)) as work:
            job.arrays.create(work.path)
            _write_all(job, work, executor or threads(2 if device == "cuda" else os.cpu_count() or 1), progress)
            pq.write_table(patches.obs, work.path / "obs.parquet")
    finally:
        torch.set_num_threads(before)
    return EmbeddingStore.open(target)


def _key(facts: Facts) -> str:
    """Names all that decides what the shards hold."""
    numerics = [FORMAT, BATCH, torch.__version__, torch.backends.cpu.get_cpu_capability()]
    return hashlib.sha256(json.dumps([facts, numerics], sort_keys=True).encode()).hexdigest()


def _write_all(job: Job, work: Work, run: Executor, progress: Progress) -> None:
    """Write the shards that an earlier attempt has not."""
    tasks = [task for task in job.arrays.shards if str(task[0]) not in work.done]
    done = job.arrays.count - sum(stop - start for start, stop in tasks)

    def finished(index: int, objects: list[str]) -> None:
        nonlocal done
        start, stop = tasks[index]
        work.finish(str(start), objects, None)
        done += stop - start
        progress(done, job.arrays.count)

    run(partial(write_shard, job, work.path), tasks, finished)


def write_shard(job: Job, target: Path, task: tuple[int, int]) -> list[str]:
    """Embed the samples of one shard and write it; the objects it consists of.  task: its first row, and its last + 1.

    Raises DataError: the model makes something that is no number.
    """
    start, stop = task
    patches, embedder = _patches(job.store), _embedder(job.model, job.device)
    found = {name: np.empty((stop - start, size), np.float32) for name, size in job.arrays.sizes.items()}
    step = patches.chunk * CHUNKS_PER_READ
    for first in range(start, stop, step):
        images = patches.read_rows(first, min(first + step, stop))
        for low in range(0, len(images), BATCH[job.device]):
            at = first - start + low
            for name, values in embedder(images[low : low + BATCH[job.device]], job.classical).items():
                found[name][at : at + len(values)] = values
    for name, values in found.items():
        lost = int((~np.isfinite(values).all(1)).sum())
        if lost:
            raise DataError(
                f"the {name} of {lost:,} samples is not finite",
                f"rows {start} to {stop - 1} of {job.store}",
                "Take an earlier checkpoint of the model, or mend those samples",
            )
    return list(job.arrays.write(target, start, found))


class Embedder:
    """The features of images, by name; for any number of threads at once."""

    def __init__(self, model: Model, device: str) -> None:
        self.model, self.device = model, torch.device(device)
        self.method = model.method.to(self.device)
        self._of_thread = threading.local()
        for module in self.method.modules():
            if isinstance(module, ACTIVATIONS):
                module.register_forward_hook(self._seen)

    def __call__(self, stored: Any, classical: bool) -> Mapping[str, Features]:
        """stored: images as the store has them, N C H W.  Returns N D each."""
        torch.set_num_threads(1)  # of this thread; the number changes bits
        images = to_unit_range(stored, self.model.value_range, self.device)
        self._of_thread.maps = []
        with torch.inference_mode():
            found = {"representation": self.method.representation(images).flatten(1)}
            if self._of_thread.maps:
                found["pooled"] = torch.cat(self._of_thread.maps, 1)
            found["intensity"] = intensity(images)
        told = {name: values.float().cpu().numpy() for name, values in found.items()}
        if classical:
            from distgan.metrics.classical import classical as measured

            low, high = self.model.value_range
            told["classical"] = measured(np.clip((stored - np.float32(low)) / np.float32(high - low), 0, 1))
        return told

    def _seen(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.ndim > 2:
            self._of_thread.maps.append(output.flatten(2).mean(2))


def intensity(images: Tensor) -> Tensor:
    """Mean, standard deviation, skewness, kurtosis and largest value of every channel: N C H W -> N 5 C."""
    return torch.cat([_moments(some) for some in images.split(CACHED)])


def _moments(images: Tensor) -> Tensor:
    pixels = images.flatten(2)
    mean, count = pixels.mean(2), pixels.shape[2]
    centred = pixels - mean[..., None]
    square = centred.square()
    deviation = square.mean(2).sqrt()
    scale = deviation.clamp(min=1e-6)
    skewness = torch.linalg.vecdot(square, centred) / count / scale**3
    kurtosis = torch.linalg.vecdot(square, square) / count / scale**4
    return torch.stack((mean, deviation, skewness, kurtosis, pixels.amax(2)), 2).flatten(1)


@functools.lru_cache(maxsize=2)
def _patches(path: Path) -> PatchStore:
    return PatchStore.open(path)


_LOADING = threading.Lock()


def _embedder(folder: Path, device: str) -> Embedder:
    with _LOADING:
        return _loaded(folder, device)


@functools.lru_cache(maxsize=2)
def _loaded(folder: Path, device: str) -> Embedder:
    return Embedder(load_model(folder), device)
