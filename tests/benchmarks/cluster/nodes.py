"""Machines that are network namespaces of this one, with addresses, host names, /dev/shm and `local` of their own.

What is written below the folder of the network is seen by all of them, as on a shared file system; what they write
below its `local` only by themselves.  Whoever is outside is 10.77.0.254 on their bridge; nobody else reaches them.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

BRIDGE = "distgan0"
OUTSIDE = "10.77.0.254"
ADDRESSES = {"distgan-head": "10.77.0.1", "distgan-a": "10.77.0.2", "distgan-b": "10.77.0.3"}
TRIES = 4
STOP_SECONDS = 10.0
ENTER = 'hostname "$1"; mount --bind "$2/shm" /dev/shm; mount --bind "$2" "$3"; shift 3; exec "$@"'
BINARIES = Path(sys.executable).parent


class Machine:
    """One namespace.  folder: of the network."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name, self.address = name, ADDRESSES[name]
        self.local = folder / "local"
        self._own, self._log = folder / name, folder / f"{name}.log"
        self._environment = {**environment, "TMPDIR": str(self.local)}
        (self._own / "shm").mkdir(parents=True)

    def command(self, words: Sequence[str | Path]) -> list[str]:
        """The words, so that they run there."""
        enter = ["sh", "-c", ENTER, "sh", self.name, str(self._own), str(self.local)]
        return ["ip", "netns", "exec", self.name, "unshare", "--uts", *enter, *map(str, words)]

    def run(self, *words: str | Path, **more: str) -> str:
        """Run a command to its end, and return what it said.  more: of its environment."""
        environment = {**os.environ, **self._environment, **more}
        with self._log.open("a") as log:
            done = subprocess.run(
                self.command(words), env=environment, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL
            )
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, words))} on {self.name}: see {self._log}")
        return done.stdout.decode()

    def start(self, *words: str | Path, **more: str) -> "subprocess.Popen[bytes]":
        """Start a command that goes on."""
        environment = {**os.environ, **self._environment, **more}
        with self._log.open("a") as log:
            return subprocess.Popen(
                self.command(words), env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def processes(self) -> list[int]:
        """All that run there."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        return [int(word) for word in found.stdout.split()]

    def kill(self) -> None:
        """As if its power were cut."""
        while self._signalled(signal.SIGKILL):
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask all that runs there to end, so that PostgreSQL leaves no shared memory behind, and then end it."""
        self._signalled(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            until(lambda: not self.processes(), "its end", STOP_SECONDS)
        self.kill()

    def _signalled(self, number: int) -> bool:
        """Whether there was anybody to be told."""
        there = self.processes()
        for process in there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        return bool(there)

    def join(self, head: "Machine", cpus: int = 1) -> None:
        """Become a node of the head's Ray cluster."""
        self._ray(cpus, "--address", f"{head.address}:6379")

    def lead(self) -> None:
        """Become the head of a Ray cluster, on which nothing is computed."""
        self._ray(0, "--head", "--port=6379", f"--dashboard-host={self.address}", "--temp-dir", str(self.local))

    def _ray(self, cpus: int, *words: str) -> None:
        """Ray gives a node 30 s to come up, which on a busy machine is not enough: try again."""
        own = [f"--node-ip-address={self.address}", f"--num-cpus={cpus}", "--object-store-memory=100000000"]
        for tried in range(1, TRIES + 1):
            try:
                self.run(BINARIES / "ray", "start", *own, *words)
            except RuntimeError:
                self.kill()
                if tried == TRIES:
                    raise
            else:
                return


@contextlib.contextmanager
def network(folder: Path, environment: Mapping[str, str]) -> Iterator[dict[str, Machine]]:
    """Three machines on a bridge, until the block ends: then all that runs there is killed, and nothing is left."""
    _ip("link", "add", BRIDGE, "type", "bridge")
    try:
        _ip("addr", "add", f"{OUTSIDE}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        (folder / "local").mkdir()
        for name, address in ADDRESSES.items():
            _add(name, address)
        machines = {name: Machine(name, folder, environment) for name in ADDRESSES}
        try:
            yield machines
        finally:
            for machine in machines.values():
                machine.stop()
    finally:
        for name in ADDRESSES:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
            shutil.rmtree(_etc(name), ignore_errors=True)
        subprocess.run(["ip", "link", "del", BRIDGE], stderr=subprocess.DEVNULL)


def refused() -> str:
    """Why there can be no such network here; or nothing."""
    if os.geteuid():
        return "network namespaces need root: run it by sudo, or in a container with --privileged"
    if missing := [one for one in ("ip", "unshare", "mount", "hostname") if not shutil.which(one)]:
        return f"there is no {missing[0]} here: install iproute2, util-linux and hostname"
    there = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    if left := [name for name in ADDRESSES if name in there]:
        return f"{', '.join(left)}: another run is under way, or was killed; then run ip netns del for each"
    return ""


def until(ready: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    """Wait for something that becomes true; and for what it is then.  Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := ready():
            return found
        time.sleep(0.2)
    raise TimeoutError(f"{what}: not within {seconds:g} s")


def _add(name: str, address: str) -> None:
    _etc(name).mkdir(parents=True, exist_ok=True)
    known = "".join(f"{number} {one}\n" for one, number in ADDRESSES.items())
    (_etc(name) / "hosts").write_text(f"127.0.0.1 localhost\n{known}")
    outer = f"dg-{name.removeprefix('distgan-')}"
    _ip("netns", "add", name)
    _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("link", "set", outer, "master", BRIDGE, "up")
    _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        _ip("-n", name, "link", "set", device, "up")


def _etc(name: str) -> Path:
    """Files here stand in the place of those of /etc, for the machine alone."""
    return Path("/etc/netns", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
