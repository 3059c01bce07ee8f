"""How the workers of an attempt find one another: `torch.distributed`, as Ray Train starts it.

Ray lets them meet at a port that torch opens on every interface, without a token. Workers that are all on one machine
meet in a file instead, and what they open is on loopback. Between machines it is Ray's way; see SECURITY.md.
"""

import os
import tempfile
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
import torch.distributed as dist
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


class GroupConfig(TorchConfig):  # type: ignore[misc]
    """As Ray's, and nothing listens beyond one machine if nobody is beyond it."""

    @property
    def backend_cls(self) -> type["GroupBackend"]:
        """Of Ray's interface."""
        return GroupBackend


class GroupBackend(_TorchBackend):  # type: ignore[misc]
    """Starts the process group of an attempt."""

    def on_start(self, worker_group: Any, backend_config: GroupConfig) -> None:
        """Called by Ray where it watches the workers, before any of them begins."""
        places = worker_group.execute(_place)
        if len({node for node, _ in places}) > 1:
            super().on_start(worker_group, backend_config)
            return
        backend, seconds, size = backend_config.backend, backend_config.timeout_s, len(places)
        told = [
            worker_group.execute_single_async(rank, _meet, places[0][1], backend, rank, size, seconds)
            for rank in range(size)
        ]
        ray.get(told)


def _place() -> tuple[str, str]:
    """Where a worker is, and a file there that does not exist."""
    file = Path(tempfile.gettempdir()) / f"distgan-{uuid.uuid4().hex}"
    return ray.get_runtime_context().get_node_id(), str(file)


def _meet(file: str, backend: str, rank: int, size: int, seconds: int) -> None:
    """Join the process group by a file that torch makes, and takes away when the group ends."""
    for name in INTERFACES:
        os.environ.setdefault(name, "lo")
    store = dist.FileStore(file, size)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=seconds))
