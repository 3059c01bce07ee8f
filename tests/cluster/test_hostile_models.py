"""Models made by somebody who means harm: no line of theirs is run, and each is refused as bad data."""

import io
import json
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save

from distgan.cli import main
from distgan.config.run_config import config_from_tables
from distgan.method import Sample, build
from distgan.methods import load_method
from distgan.model import CARD, WEIGHTS, load_model
from storage.errors import DataError, DistganError, MissingError
from storage.manifest import NAME, seal


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model that has not learnt anything."""
    folder = tmp_path_factory.mktemp("honest") / "model"
    folder.mkdir()
    config = config_from_tables(
        {
            "run": {"name": "tiny", "images": 16, "batch_size": 16},
            "data": {"store": "patches.zarr"},
            "method": {"name": "lsgan", "preset": "small", "width": 4, "critic_width": 4},
            "evaluate": {"every_images": 16},
            "checkpoint": {"every_images": 16},
        },
        "the test",
    )
    method = build(load_method("lsgan"), config.method, Sample((1, 32, 32)), 0)
    card = {
        "recipe": config.dump(),
        "image_shape": [1, 32, 32],
        "channels": ["a"],
        "dtype": "uint8",
        "value_range": [0, 255],
    }
    weights = {name: value.contiguous() for name, value in method.state_dict().items()}
    (folder / WEIGHTS).write_bytes(save(weights))
    (folder / CARD).write_text(json.dumps(card))
    seal(folder, "model", {})
    assert load_model(folder).card["channels"] == ["a"]
    return folder


class Bomb:
    """Pickled, it writes a file when it is read."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def np_objects(pickled: bytes) -> bytes:
    """A .npy file whose array is one pickled object."""
    told = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    told += b" " * (64 - (10 + len(told) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(told)) + told + pickled


def header(tensors: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file that says what it likes."""
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


def of_weights(canary: Path) -> dict[str, bytes]:
    """Files in the place of weights.safetensors; the manifest knows them, as that of a thief would."""
    bomb = pickle.dumps(Bomb(canary))
    return {
        "pickle": bomb,
        "pickle protocol 0": pickle.dumps(Bomb(canary), 0),
        "zip with a pickle, as torch writes": zipped({"archive/data.pkl": bomb, "archive/version": b"3"}),
        "zip with paths that leave": zipped({"../../canary": b"x", "/tmp/canary": b"x"}),
        "legacy torch": pickle.dumps(0x1950A86A20F9469CFC6C) + bomb,
        "the tar of the oldest torch": tarred({"pickle": bomb, "storages": bomb, "tensors": bomb}),
        "TorchScript": zipped({"m/code/__torch__.py": b"import os", "m/data.pkl": bomb, "m/constants.pkl": bomb}),
        "numpy objects": np_objects(bomb),
        "header and pickle": header({"w": ONE}, bomb[:4]) + bomb,
        "empty": b"",
        "no header": b"\0\0\0",
        "header longer than the file": header({}, length=1 << 20),
        "header of terabytes": header({}, length=1 << 62),
        "negative length": struct.pack("<q", -1) + b"{}",
        "header that is no JSON": header(b"not json"),
        "header that is a list": header([]),
        "header that is deep": header(DEEP),
        "header with names twice": header(b'{"w":%s,"w":%s}' % ((json.dumps(ONE).encode(),) * 2), b"\0" * 4),
        "tensor beyond the end": header({"w": {**ONE, "data_offsets": [0, 4096]}}),
        "tensor of terabytes": header({"w": {**ONE, "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
        "shape that overflows": header({"w": {**ONE, "shape": [1 << 33, 1 << 33]}}, b"\0" * 4),
        "offsets that overlap": header({"w": ONE, "v": ONE}, b"\0" * 4),
        "offsets the wrong way": header({"w": {**ONE, "data_offsets": [4, 0]}}, b"\0" * 4),
        "unknown dtype": header({"w": {**ONE, "dtype": "PICKLE"}}, b"\0" * 4),
        "names that are paths": header({"../../canary": ONE}, b"\0" * 4),
        "names that are code": header({"__import__('os').system('x')": ONE}, b"\0" * 4),
    }


def of_card(honest: Path) -> dict[str, bytes]:
    """Files in the place of model.json."""
    card = json.loads((honest / CARD).read_text())

    def other(**keys: Any) -> bytes:
        return json.dumps(card | keys).encode()

    def method(name: str) -> bytes:
        recipe = card["recipe"]
        return other(recipe=recipe | {"method": recipe["method"] | {"name": name}})

    return {
        "deep JSON": DEEP,
        "a number of a million digits": b'{"recipe": %s}' % (b"9" * 1_000_000),
        "not JSON": b"import os",
        "a list": b"[]",
        "another method's name as a path": method("../../tmp/canary"),
        "a module of Python": method("os"),
        "a dotted module": method("cluster.session"),
        "a method that is code": method("__import__('os')"),
        "an unknown key": other(recipe=card["recipe"] | {"loader_module": "canary"}),
        "a shape of words": other(image_shape=["a", "b", "c"]),
        "a negative shape": other(image_shape=[1, -32, 32]),
    }


WEIGHTS_NAMES = sorted(of_weights(Path("canary")))


def refused(folder: Path) -> DistganError:
    with pytest.raises((DataError, MissingError)) as error:
        load_model(folder)
    return error.value


@pytest.mark.parametrize("name", WEIGHTS_NAMES)
def test_weights_run_nothing_and_are_refused(honest: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(honest, tmp_path / "model"))
    (folder / WEIGHTS).write_bytes(of_weights(tmp_path / "canary")[name])
    (folder / NAME).unlink()
    seal(folder, "model", {})
    refused(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize("number", range(11))
def test_a_card_runs_nothing_and_is_refused(honest: Path, tmp_path: Path, number: int) -> None:
    bad = of_card(honest)
    assert len(bad) == 11
    folder = Path(shutil.copytree(honest, tmp_path / "model"))
    (folder / CARD).write_bytes(list(bad.values())[number])
    (folder / NAME).unlink()
    seal(folder, "model", {})
    refused(folder)


def manifest(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / NAME).read_text())
        change(content)
        (folder / NAME).write_text(json.dumps(content))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / NAME).write_bytes(DEEP),
        lambda folder: (folder / NAME).write_text("[]"),
        lambda folder: (folder / NAME).unlink(),
        lambda folder: (folder / WEIGHTS).unlink(),
        manifest(lambda content: content["objects"].update({"../../etc/passwd": [1, "0" * 64]})),
        manifest(lambda content: content["objects"].update({"/etc/passwd": [1, "0" * 64]})),
        manifest(lambda content: content.update(kind="checkpoint")),
        manifest(lambda content: content.update(format=99)),
        manifest(lambda content: content["objects"].pop(WEIGHTS)),
        manifest(lambda content: content["objects"].update({WEIGHTS: [1e400, "x"]})),
    ],
    ids=range(10),
)
def test_a_manifest_that_lies_is_refused(honest: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = Path(shutil.copytree(honest, tmp_path / "model"))
    damage(folder)
    assert "passwd" not in refused(folder).found or "root" not in refused(folder).found


def test_what_else_lies_in_the_folder_is_never_run(honest: Path, tmp_path: Path) -> None:
    """As MLflow would: an MLmodel that names a loader, code beside it, what Python or torch would pick up."""
    folder, canary = Path(shutil.copytree(honest, tmp_path / "model")), tmp_path / "canary"
    code = f"from pathlib import Path; Path({str(canary)!r}).touch()"
    planted = {
        "MLmodel": "flavors:\n  python_function:\n    loader_module: canary\n    code: code\n",
        "code/canary.py": code,
        "canary.py": code,
        "sitecustomize.py": code,
        "conftest.py": code,
        "__init__.py": code,
        "requirements.txt": "canary @ file:///canary\n",
    }
    for name, text in planted.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "data.pkl").write_bytes(pickle.dumps(Bomb(canary)))
    (folder / NAME).unlink()
    seal(folder, "model", {})
    assert load_model(folder).card["channels"] == ["a"]
    assert main(["models", "show", str(folder)]) == 65, "this card is too short to be shown"
    assert not canary.exists()


def test_every_single_byte_counts(honest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(honest, tmp_path / "model"))
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    assert "SHA-256" in refused(folder).found
    assert load_file(folder / WEIGHTS), "which safetensors does not notice"


def test_the_command_line_says_so_too(honest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(honest, tmp_path / "model"))
    (folder / WEIGHTS).write_bytes(b"")
    assert main(["models", "show", str(folder), "--json"]) == 65
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "data"
