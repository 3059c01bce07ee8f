"""The shape of the code: layers, sizes, names, and what must never be called."""

import ast
import importlib
import importlib.metadata
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distgan.methods import load_method, method_names

ROOT = Path(__file__).parents[1]
PACKAGES = ("storage", "distgan", "cluster", "tune")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
names = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh Python has imported after some code."""
    script = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


# layers


def test_imports_point_one_way() -> None:
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 kept, 0 broken" in done.stdout


def test_storage_works_without_torch_ray_and_mlflow() -> None:
    import storage

    every = [one.name for one in pkgutil.walk_packages(storage.__path__, "storage.")]
    assert "storage.datasets.synthetic_embryos" in every
    found = modules_after(f"import {', '.join(every)}")
    assert {"zarr", "numpy"} <= found
    assert not found & {"torch", "ray", "mlflow", "distgan", "cluster", "tune"}


def test_training_works_without_ray_and_mlflow() -> None:
    found = modules_after("import distgan.engine.running, distgan.cli")
    assert "torch" in found
    assert not found & {"ray", "mlflow", "cluster", "tune"}


def test_help_answers_without_what_is_slow_to_import() -> None:
    found = modules_after("from distgan.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass")
    assert "distgan" in found
    assert not found & {"torch", "ray", "mlflow", "zarr", "numpy", "pydantic", "matplotlib"}


# packages


def test_the_four_packages_come_from_one_folder() -> None:
    folders = {Path(str(importlib.import_module(name).__file__)).parents[1] for name in PACKAGES}
    assert len(folders) == 1, folders


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_owns_the_name_of_a_package(name: str) -> None:
    owners = importlib.metadata.packages_distributions().get(name, [])
    assert set(owners) <= {"distgan"}, f"uninstall {owners}"


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_say_what_they_are_and_that_they_are_typed(name: str) -> None:
    assert (ROOT / name / "py.typed").is_file()
    assert importlib.import_module(name).__doc__


def test_tests_are_no_packages() -> None:
    assert not [path for path in TESTS if path.name == "__init__.py"]


# sizes and names


@names
def test_files_are_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= (200 if path == ROOT / "distgan" / "engine" / "trainer.py" else 400)


@names
def test_files_are_named_after_what_is_in_them(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "base", "misc", "tools"}


@pytest.mark.parametrize("name", method_names())
def test_the_trainer_names_no_method(name: str) -> None:
    text = (ROOT / "distgan" / "engine" / "trainer.py").read_text(encoding="utf-8")
    assert name not in text
    assert load_method(name).__name__ not in text


# what must never be called

BANNED = {"pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads", "torch.load", "yaml.load"} | {
    "eval",
    "exec",
    "tempfile.mktemp",
    "os.system",
    "joblib.load",
    "mlflow.pyfunc.load_model",
}


def faults(code: str) -> Iterator[str]:
    """What some code does that it must not."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and node.value == "0.0.0.0":
            yield "0.0.0.0"
        if isinstance(node, ast.ImportFrom):
            yield from {f"{node.module}.{one.name}" for one in node.names} & BANNED
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in BANNED:
                yield called
            if called.endswith(".extractall"):
                yield "extractall"
            for keyword in node.keywords:
                if (keyword.arg, ast.unparse(keyword.value)) in {("shell", "True"), ("allow_pickle", "True")}:
                    yield f"{keyword.arg}=True"


@names
def test_nothing_that_could_run_foreign_code_is_called(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "code",
    [
        "pickle.loads(x)",
        "from pickle import loads",
        "a = torch.load(path, weights_only=True)",
        "def f():\n    return eval('1')",
        "exec(x)",
        "yaml.load(x, Loader=y)",
        "subprocess.run('ls', shell=True)",
        "archive.extractall(folder)",
        "np.load(x, allow_pickle=True)",
        "serve(host='0.0.0.0')",
    ],
)
def test_what_is_banned_would_be_found(code: str) -> None:
    assert len(list(faults(code))) == 1


def test_every_file_is_looked_at() -> None:
    assert {"storage/durable.py", "distgan/methods/wgan_gp.py", "cluster/train.py", "tune/__init__.py"} <= {
        path.relative_to(ROOT).as_posix() for path in FILES
    }
