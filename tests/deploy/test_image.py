"""The container images, as far as they can be checked without building them."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
COPIED = [source for line in re.findall(r"^COPY (?!--from)(.+)$", TEXT, re.MULTILINE) for source in line.split()[:-1]]


def test_what_it_copies_is_enough_to_build_and_start_the_command(tmp_path: Path) -> None:
    for source in COPIED:
        path = ROOT / source
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        copy(path, tmp_path / source)
    wheels = tmp_path / "wheels"
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(wheels), "."], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = wheels.glob("distgan-*.whl")
    target = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True, capture_output=True)
    assert {path.name for path in target.iterdir() if path.is_dir() and "." not in path.name} == {
        "bin", "cluster", "distgan", "storage", "tune"
    }  # fmt: skip
    shown = subprocess.run(
        [sys.executable, "-m", "distgan.cli", "train", "rosette_wgan_gp", "--dry-run"],
        cwd=target, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert 'run.name = "rosette_wgan_gp"' in shown.stderr


def test_nothing_else_is_sent_to_the_builder() -> None:
    lines = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in lines
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert {source for source in COPIED if not source.startswith("deploy/mlflow/")} | {"deploy/mlflow"} == sent


def test_it_has_the_python_of_the_project_pinned_packages_and_no_root() -> None:
    (version,) = re.findall(r"^ARG PYTHON=(\d+\.\d+)\.\d+-", TEXT, re.MULTILINE)
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert required == f">={version}"
    assert all("-c constraints.txt" in line for line in re.findall(r"pip install .*", TEXT))
    stages = re.split(r"^FROM ", TEXT, flags=re.MULTILINE)[1:]
    for name in ("mlflow", "distgan"):
        (stage,) = [one for one in stages if one.splitlines()[0] == f"base AS {name}"]
        assert re.findall(r"^USER (\w+)$", stage, re.MULTILINE)[-1] != "root"


def _pinned(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if "==" in line and not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    return {re.sub(r"\[.*\]", "", name).lower().replace("_", "-"): version for name, version in pairs}


def test_the_servers_versions_are_those_of_the_clients() -> None:
    ours, servers = (_pinned(ROOT / path) for path in ("constraints.txt", "deploy/mlflow/requirements.txt"))
    assert "mlflow" in ours.keys() & servers.keys()
    assert {name: servers[name] for name in servers.keys() & ours.keys()} == {
        name: ours[name] for name in servers.keys() & ours.keys()
    }


def test_every_dependency_is_pinned() -> None:
    pinned = set(_pinned(ROOT / "constraints.txt"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    names = {re.match(r"[\w.-]+", one).group().lower() for one in wanted} - {"distgan"}  # type: ignore[union-attr]
    assert names <= pinned, names - pinned
