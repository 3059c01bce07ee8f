"""The container image, as far as it can be checked without building it."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
COPIED = [source for line in re.findall(r"^COPY (.+)$", TEXT, re.MULTILINE) for source in line.split()[:-1]]


def test_what_it_copies_is_enough_to_build_and_start_the_command(tmp_path: Path) -> None:
    for source in COPIED:
        path = ROOT / source
        copy = shutil.copytree if path.is_dir() else shutil.copy2
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


def test_it_has_the_python_of_the_project_pinned_packages_and_no_root() -> None:
    (version,) = re.findall(r"^FROM python:(\d+\.\d+)-", TEXT, re.MULTILINE)
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert required == f">={version}"
    assert "-c constraints.txt" in TEXT
    assert re.findall(r"^USER (\w+)$", TEXT, re.MULTILINE)[-1] != "root"


def test_every_dependency_is_pinned() -> None:
    pinned = {
        re.split(r"==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    names = {re.match(r"[\w.-]+", one).group().lower() for one in wanted} - {"distgan"}  # type: ignore[union-attr]
    assert names <= pinned, names - pinned
