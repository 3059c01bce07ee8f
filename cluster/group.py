"""How the workers of an attempt find one another: `torch.distributed`, as Ray Train starts it.

Ray lets them meet at a port that torch opens on every interface, without a token. Workers that are all on one machine
meet in a file instead, and what they open is on loopback. Between machines it is Ray's way; see SECURITY.md.
"""

import os
import socket
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
import torch.distributed as dist
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass
class GroupConfig(TorchConfig):  # type: ignore[misc]
    """As Ray's, and nothing listens beyond one machine if nobody is beyond it.

    folder: of this launch, where workers that are all on one machine meet; whoever launched them removes it.
    """

    folder: str = ""

    @property
    def backend_cls(self) -> type["GroupBackend"]:
        """Of Ray's interface."""
        return GroupBackend


class GroupBackend(_TorchBackend):  # type: ignore[misc]
    """Starts the process group of an attempt."""

    def on_start(self, worker_group: Any, backend_config: GroupConfig) -> None:
        """Called by Ray where it watches the workers, before any of them begins."""
        nodes = worker_group.execute(_node)
        if len(set(nodes)) > 1:
            super().on_start(worker_group, backend_config)
            return
        file = Path(backend_config.folder) / f"group-{uuid.uuid4().hex}"
        backend, seconds, size = backend_config.backend, backend_config.timeout_s, len(nodes)
        told = [
            worker_group.execute_single_async(rank, _meet, file, backend, rank, size, seconds) for rank in range(size)
        ]
        ray.get(told)


def _node() -> str:
    """Where a worker is."""
    return str(ray.get_runtime_context().get_node_id())


def _meet(file: Path, backend: str, rank: int, size: int, seconds: int) -> None:
    """Join the process group by a file that torch makes."""
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)  # "lo0" on a Mac
    if loopback:
        for variable in INTERFACES:
            os.environ.setdefault(variable, loopback)
    file.parent.mkdir(parents=True, exist_ok=True)
    store = dist.FileStore(str(file), size)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=seconds))
