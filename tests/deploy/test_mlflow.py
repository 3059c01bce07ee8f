"""MLflow's server as the unit and the composition start it: small, on loopback, and closed to strangers."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass
class Server:
    """A server that runs, its folder of secrets and its port."""

    process: subprocess.Popen[bytes]
    secrets: Path
    port: int

    def ask(self, path: str, host: str = "", password: str = "") -> int:
        """The status of an answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if host:
            request.add_header("Host", host)
        if password:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"admin:{password}".encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def tree(self) -> list[psutil.Process]:
        """Its processes."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("flask_wtf", reason="mlflow[auth] is not installed")
    folder = tmp_path_factory.mktemp("mlflow")
    secrets = folder / "secrets"
    subprocess.run(["sh", DEPLOY / "secrets.sh", secrets], check=True)
    (secrets / "mlflow_database").write_text(f"sqlite:///{folder / 'mlflow.db'}")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment = kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CREDENTIALS_DIRECTORY": str(secrets),
        "MLFLOW_PORT": str(port),
    }
    process = subprocess.Popen(["sh", DEPLOY / "mlflow" / "serve.sh"], cwd=folder, env=environment)
    running = Server(process, secrets, port)
    try:
        while True:
            assert process.poll() is None, "the server ended"
            try:
                running.ask("/health")
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_it_says_that_it_is_well(server: Server) -> None:
    assert server.ask("/health") == 200


SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


@pytest.mark.parametrize(
    "path", ["/", SEARCH, "/ajax-api/2.0/mlflow/users/list", "/api/2.0/mlflow-artifacts/artifacts", "/graphql"]
)
def test_without_a_password_nothing_is_told(server: Server, path: str) -> None:
    assert server.ask(path) == 401
    assert server.ask(path, password="password1234") == 401


def test_with_the_password_the_experiments_are(server: Server) -> None:
    password = (server.secrets / "mlflow_admin_password").read_text()
    assert server.ask(SEARCH, password=password) == 200


def test_under_another_name_it_is_not_to_be_had(server: Server) -> None:
    password = (server.secrets / "mlflow_admin_password").read_text()
    assert server.ask(SEARCH, "evil.example", password) == 403


def test_it_listens_on_loopback_alone(server: Server) -> None:
    heard = [one for each in server.tree() for one in each.net_connections() if one.status == psutil.CONN_LISTEN]
    assert {one.laddr.ip for one in heard} == {"127.0.0.1"}
    assert server.port in {one.laddr.port for one in heard}


def test_no_secret_is_in_a_command_line(server: Server) -> None:
    lines = "\n".join(" ".join(each.cmdline()) for each in server.tree())
    assert "mlflow" in lines
    for secret in server.secrets.glob("[!.]*"):
        assert secret.read_text().strip() not in lines, secret.name


def test_it_is_small(server: Server) -> None:
    assert sum(each.memory_info().rss for each in server.tree()) < 650e6


def test_the_unit_starts_the_same_and_has_the_same_secrets() -> None:
    unit = (DEPLOY / "mlflow" / "mlflow.service").read_text()
    script = (DEPLOY / "mlflow" / "serve.sh").read_text()
    assert re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE) == ["/bin/sh /opt/mlflow/serve.sh"]
    loaded = set(re.findall(r"^LoadCredential=(\w+):/etc/distgan/secrets/\1$", unit, re.MULTILINE))
    assert loaded == set(re.findall(r'cat "\$secrets/(\w+)"', script))
    assert "Environment=MLFLOW_HOST=127.0.0.1 " in unit
