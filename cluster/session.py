"""Start Ray on this machine, or join a cluster that runs. Always with a token, never open to the network."""

import contextlib
import importlib
import importlib.metadata
import math
import os
import secrets
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.home import Home
from distgan.config.run_config import AnyRun
from storage.errors import RecipeError, ServiceError

PACKAGES = ("storage", "distgan", "cluster", "tune")
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
OLDEST_RAY = (2, 60)
"""Those before 2.52 know no token, and let anybody who reaches them run code (CVE-2023-48022, CVE-2025-62593)."""
IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray where a submitted job runs, which has our packages already."""
CONNECT_SECONDS = 5.0
GROWS_SECONDS = 900
"""How long a cluster that starts machines may take for those of a training, before Ray asks for them anew."""
DRIVERS_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
WORKERS_PER_CORE = 4  # one machine takes more of them than it has cores: slower, to the same bits


@contextlib.contextmanager
def session(config: AnyRun, home: Home) -> Iterator[None]:
    """Ray, ready for the workers of a recipe, until the block ends.

    Raises ServiceError: no cluster at the address, it refuses our token, or it has less than the recipe wants.
    """
    with joined(config.cluster.address, home, _local_cpus(config)):
        import ray

        check_resources(config, ray.cluster_resources())
        if not _enough(config, ray.cluster_resources()):  # machines will have to come
            os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(GROWS_SECONDS)
        yield


@contextlib.contextmanager
def joined(address: str, home: Home, cpus: int) -> Iterator[None]:
    """The Ray cluster at `address`, or at $RAY_ADDRESS, or else one of at least so many CPUs on this machine.

    Raises ServiceError: no cluster at the address, it refuses our token, or its Ray is too old or another than ours.
    """
    address = address or os.environ.get("RAY_ADDRESS", "")
    joining = address not in ("", "local")
    set_environment(home, joining=joining)
    check_version(importlib.metadata.version("ray"), "this machine")
    import ray

    quiet = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
    if joining:
        _check_answers(address)
        options: dict[str, Any] = {"address": address}
        if IN_A_JOB not in os.environ:
            options["runtime_env"] = {"py_modules": package_folders()}
    else:
        options = {
            "address": "local",
            "num_cpus": max(os.cpu_count() or 1, cpus),
            "include_dashboard": False,
            "object_store_memory": 200_000_000,  # images go through files; only small messages go here
        }
    try:
        with _unreached_by_signals():
            ray.init(**options, **quiet)
    except Exception as error:
        if "timed out during startup" in str(error):  # Ray gives its own processes 30 s, and raises Exception itself
            raise ServiceError(
                "Ray did not come up in its 30 seconds",
                "this machine is too busy",
                "Wait until it has less to do, and run the same again with --resume",
            ) from None
        if not isinstance(error, ConnectionError | RuntimeError | ValueError | ray.exceptions.AuthenticationError):
            raise
        raise ServiceError(
            f"the Ray cluster at {address or 'this machine'} cannot be joined",
            " ".join(str(error).split())[:300],
            "Check the address, that RAY_AUTH_TOKEN_PATH names the token of that cluster, and that it runs "
            f"Ray {importlib.metadata.version('ray')} as this machine does",
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def set_environment(home: Home, *, joining: bool = False) -> None:
    """What Ray must find in the environment before it is imported.

    joining: a cluster that runs; its token may lie where Ray itself looks for one.
    Raises RecipeError: the token file can be read by others.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # At the default of 2 s a report waits for the next poll, and one that returned can still be lost.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    # A worker may pause for half a minute; then it hangs, and is named within a minute.
    os.environ.setdefault("RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S", "45")
    # After a node is lost, Ray counts on it that long.
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "15")
    if not joining:
        # As Ray does on a Mac: all of it listens on loopback, else most of it on every interface.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ["RAY_AUTH_MODE"] == "token" and not any(os.environ.get(name) for name in TOKEN_VARIABLES):
        rays = Path.home() / ".ray" / "auth_token"
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(own_token(rays if joining and rays.exists() else home.token))


def check_version(version: str, where: str) -> None:
    """Raise ServiceError if a Ray is too old to be trusted, or one that we do not know."""
    major, minor = (int(part) for part in version.split(".")[:2])
    if not OLDEST_RAY <= (major, minor) < (OLDEST_RAY[0] + 1, 0):
        raise ServiceError(
            f"{where} has a Ray that is refused",
            f"Ray {version}",
            f"Install one from {OLDEST_RAY[0]}.{OLDEST_RAY[1]} on, below {OLDEST_RAY[0] + 1}; before 2.52 Ray had no "
            "tokens, and whoever reached it could run code",
        )


def own_token(path: Path) -> Path:
    """The token file, made if there is none, readable by its owner alone.

    Ray would make one that everybody on the machine can read.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise RecipeError(
            f"the token {path} can be read by others", f"mode {mode:04o}", f"Run chmod 600 {path}, or delete it"
        )
    return path


def package_folders() -> list[str]:
    """The folders of our four packages, shipped to a cluster as they stand; Ray unpacks each in a place of its own.

    Raises ServiceError: they do not come from one place, so a stranger's package has one of the names.
    """
    folders = {name: Path(str(importlib.import_module(name).__file__)).parent for name in PACKAGES}
    if len({folder.parent for folder in folders.values()}) != 1 and IN_A_JOB not in os.environ:
        found = ", ".join(f"{name} from {folder.parent}" for name, folder in folders.items())
        raise ServiceError(
            "our packages do not come from one place", found, "Uninstall the other distribution that has this name"
        )
    return [str(folder) for folder in folders.values()]


@contextlib.contextmanager
def _unreached_by_signals() -> Iterator[None]:
    """Signals to the whole process group, as of a terminal or of SLURM, shall find only the driver.

    The processes of Ray inherit which signals are blocked.  A handler of ours outlives Ray, which sets its own.
    """
    handlers = {number: signal.getsignal(number) for number in DRIVERS_SIGNALS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, DRIVERS_SIGNALS)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _local_cpus(config: AnyRun) -> int:
    """What Ray is told of this machine: its cores, or more, so that more workers can take turns on them."""
    wanted = math.ceil(config.run.least_workers * config.run.cpus_per_worker)
    return min(wanted, WORKERS_PER_CORE * (os.cpu_count() or 1))


def check_resources(config: AnyRun, now: Mapping[str, float]) -> None:
    """Raise ServiceError: Ray would wait for ever for what the cluster neither has nor can come to have.

    now: CPUs and GPUs of the machines that are up.
    """
    run, there = config.run, largest(config, now)
    for kind, each in _each(config).items():
        if run.least_workers * each > there.get(kind, 0):
            raise ServiceError(
                f"the recipe wants more {kind}s than there are",
                f"{run.least_workers} worker(s) with {each:g} each, and Ray has {there.get(kind, 0):g}",
                f"Lower run.workers or run.{kind.lower()}s_per_worker, or use a larger cluster; of one that grows "
                f"when asked, say how many {kind}s it can come to have, by --set cluster.grows_to.{kind}=NUMBER",
            )


def _each(config: AnyRun) -> dict[str, float]:
    """What a worker takes."""
    return {"CPU": config.run.cpus_per_worker, "GPU": config.run.gpus_per_worker}


def _enough(config: AnyRun, now: Mapping[str, float]) -> bool:
    return all(config.run.least_workers * each <= now.get(kind, 0) for kind, each in _each(config).items())


def largest(config: AnyRun, now: Mapping[str, float]) -> dict[str, float]:
    """The CPUs and GPUs that a cluster has or can start, by what it tells of itself and by `cluster.grows_to`.

    Ray's autoscaler at KubeRay and of `ray up` tells its limits to nobody but its own log; a few others report them.
    """
    from ray._private.state import state

    told = state.get_max_resources_from_cluster_config() or {}
    return {kind: max(each.get(kind, 0) for each in (now, told, config.cluster.grows_to)) for kind in ("CPU", "GPU")}


def _check_answers(address: str) -> None:
    """Ray itself takes a minute to find that nobody is there."""
    if address.startswith(("http://", "https://")):
        raise ServiceError(
            "this is no address to join a Ray cluster by",
            f"{address} is that of its dashboard, to which jobs are submitted",
            "Write `distgan submit -- VERB ...`, or give the address of the head, HOST:6379",
        )
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # "auto": Ray knows where to look, and answers at once
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ServiceError(
            f"no Ray cluster answers at {address}",
            str(error),
            "Check RAY_ADDRESS or cluster.address, or unset it to use Ray on this machine",
        ) from None
