"""What a cluster has beside Ray: PostgreSQL, an object store of S3's kind, and MLflow in front of both.

The first two listen on their machine's loopback or a socket alone; MLflow hands on what lies in the object store.
"""

import shutil
import socket
import sys
from pathlib import Path

from tests.benchmarks.cluster.nodes import BINARIES, Machine, until

BUCKET = "distgan"
MLFLOW, S3 = 5000, 9000
KEYS = {"AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto", "AWS_DEFAULT_REGION": "us-east-1"}
"""Of a store that takes any."""
OWNER = "nobody"
"""PostgreSQL refuses to run as root."""
CLIENT = f"import boto3; s3 = boto3.client('s3', endpoint_url='http://127.0.0.1:{S3}')\n"
MAKE = f"{CLIENT}s3.create_bucket(Bucket={BUCKET!r})"
LIST = f"""{CLIENT}
for page in s3.get_paginator("list_objects_v2").paginate(Bucket={BUCKET!r}):
    for one in page.get("Contents", ()):
        print(one["Size"], one["Key"])
"""


def start_services(machine: Machine, folder: Path) -> str:
    """Start all three there, and return the address of MLflow."""
    backend = _start_postgres(machine, folder / "pg")
    machine.start(sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(S3))
    until(lambda: "free" not in machine.run(sys.executable, "-c", _asked("127.0.0.1", S3)), "the object store")
    machine.run(sys.executable, "-c", MAKE, **KEYS)
    machine.start(
        *(BINARIES / "mlflow", "server", "--workers", "1", "--host", machine.address, "--port", str(MLFLOW)),
        *("--allowed-hosts", f"{machine.address}:{MLFLOW}", "--artifacts-destination", f"s3://{BUCKET}"),
        MLFLOW_BACKEND_STORE_URI=backend,
        MLFLOW_S3_ENDPOINT_URL=f"http://127.0.0.1:{S3}",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        **KEYS,
    )
    until(lambda: _listens(machine.address, MLFLOW), "MLflow", 240)
    return f"http://{machine.address}:{MLFLOW}"


def stored(machine: Machine) -> dict[str, int]:
    """What lies in the object store: bytes by key."""
    lines = machine.run(sys.executable, "-c", LIST, **KEYS).splitlines()
    return {key: int(size) for size, key in (line.split(" ", 1) for line in lines)}


def _start_postgres(machine: Machine, folder: Path) -> str:
    """A server that only its owner and root reach, by a socket in a folder of theirs; its address for MLflow."""
    if not shutil.which("initdb"):
        print("!!! No PostgreSQL here (initdb, postgres): MLflow keeps its records in sqlite instead !!!", flush=True)
        return f"sqlite:///{folder}.db"
    folder.mkdir(mode=0o700)
    shutil.chown(folder, OWNER)
    own = ["setpriv", f"--reuid={OWNER}", "--regid=nogroup", "--clear-groups"]
    machine.run(*own, "initdb", "-D", folder / "data", "--username=mlflow", "--auth=trust")
    machine.start(*own, "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=")
    until(lambda: (folder / ".s.PGSQL.5432").exists(), "PostgreSQL")
    return f"postgresql+psycopg2://mlflow@/postgres?host={folder}"


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def _asked(host: str, port: int) -> str:
    return f"import socket; print('free' if socket.socket().connect_ex(({host!r}, {port})) else 'taken')"
