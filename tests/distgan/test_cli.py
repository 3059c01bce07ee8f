"""The command line as other programs and people meet it: exit codes, messages, JSON."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from distgan import cli
from distgan.config.run_config import config_from_tables, read_config
from storage.manifest import NAME

RECIPE = "rosette_wgan_gp"


@dataclass
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line)


Distgan = Callable[..., Answer]


@pytest.fixture
def distgan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Distgan:
    """distgan(argument, ...) in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISTGAN_HOME", str(tmp_path / "home"))
    for name in ("DISTGAN_DATA", "RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Answer:
        code = cli.main([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return run


# mistakes


@pytest.fixture
def places(tmp_path: Path, patches: Path) -> dict[str, Path]:
    """What the commands below are about, by name."""
    unfinished = shutil.copytree(patches, tmp_path / "unfinished.zarr")
    (unfinished / NAME).unlink()
    (tmp_path / "empty").mkdir()
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "notes.txt").write_text("no image")
    (tmp_path / "bad.toml").write_text("[run\n")
    return {"unfinished": unfinished, "empty": tmp_path / "empty", "texts": texts, "bad": tmp_path / "bad.toml"}


MISTAKES: dict[str, tuple[str, int, str]] = {
    "unknown verb": ("trian x", 2, "train"),
    "no verb": ("", 2, "VERB"),
    "unknown flag": ("inspect x --colour", 2, "--colour"),
    "missing argument": ("ingest x", 2, "store"),
    "no number": ("sample m --out x.png --count many", 2, "many"),
    "no sample": ("sample m --out x.png --count 0", 2, "0"),
    "missing recipe": ("train nowhere.toml --dry-run", 66, RECIPE),
    "recipe that is no TOML": ("train {bad} --dry-run", 2, "bad.toml"),
    "recipe mistake": (f"train {RECIPE} --dry-run --set run.batchsize=3", 2, "run.batch_size"),
    "recipe out of range": (f"train {RECIPE} --dry-run --set run.images=0", 2, "run.images"),
    "override without a value": (f"train {RECIPE} --dry-run --set run.images", 2, "KEY=VALUE"),
    "missing store": ("inspect nowhere.zarr", 66, "nowhere.zarr"),
    "uncommitted store": ("inspect {unfinished}", 65, NAME),
    "patches to train on are missing": (f"train {RECIPE} --set data.store=nowhere.zarr", 66, "nowhere.zarr"),
    "no picture": ("inspect x --figure x.npy", 2, ".png"),
    "nothing to verify": ("verify nowhere.zarr", 66, "nowhere.zarr"),
    "unfinished store to verify": ("verify {unfinished}", 65, NAME),
    "missing folder": ("ingest nowhere store.zarr", 66, "nowhere"),
    "data set and pattern": ("ingest {texts} store.zarr --dataset vnc --pattern {{a}}.tif", 2, "--pattern"),
    "table without pattern": ("ingest {texts} store.zarr --table x.csv", 2, "--pattern"),
    "missing table": ("ingest {texts} store.zarr --pattern {{a}}.tif --table x.csv", 66, "x.csv"),
    "pattern without a field": ("ingest {texts} store.zarr --pattern *.tif", 2, "*.tif"),
    "channel twice": ("ingest {texts} store.zarr --channels a,b,a", 2, "a,b,a"),
    "empty folder": ("ingest {empty} store.zarr", 65, "empty"),
    "folder without images": ("ingest {texts} store.zarr", 65, ".txt"),
    "unknown data set to ingest": ("ingest {texts} store.zarr --dataset cats", 66, "synthetic_embryos"),
    "unknown data set to fetch": ("data fetch cats", 66, "synthetic_embryos"),
    "missing source of patches": (f"prepare {RECIPE} nowhere.zarr p.zarr", 66, "nowhere.zarr"),
    "missing model": ("sample nowhere --out x.png", 66, "nowhere"),
}


@pytest.mark.parametrize(("command", "code", "told"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_has_a_code_and_a_message_of_three_parts(
    distgan: Distgan, places: dict[str, Path], command: str, code: int, told: str
) -> None:
    arguments = command.format(**places).split()
    answer = distgan(*arguments)
    assert answer.code == code
    assert answer.out == ""
    assert "Traceback" not in answer.err
    first, second, third = answer.err.splitlines()[-3:]
    assert first.startswith("error: ")
    assert second.startswith("  found: ")
    assert third.startswith("  do:    ")
    assert told in answer.err

    answer = distgan(*arguments, "--json")
    assert answer.code == code
    assert answer.json.keys() == {"error"}
    error = answer.json["error"]
    assert error.keys() == {"code", "wrong", "found", "do"}
    assert all(isinstance(part, str) and part for part in error.values())
    assert error["code"] == {2: "recipe", 65: "data", 66: "missing"}[code]
    assert [f"error: {error['wrong']}", f"  found: {error['found']}", f"  do:    {error['do']}"] == [
        first,
        second,
        third,
    ]


def test_nothing_half_made_is_left_by_a_mistake(distgan: Distgan, places: dict[str, Path], tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    for command in ("ingest {texts} store.zarr", "prepare rosette_wgan_gp nowhere.zarr p.zarr"):
        distgan(*command.format(**places).split())
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("error", "code", "told"), [(ZeroDivisionError("oh"), 70, "bug"), (KeyboardInterrupt(), 130, "interrupted")]
)
def test_our_own_bugs_and_a_key_press_are_told_likewise(
    distgan: Distgan, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("distgan.data.inspection.inspect_store", fail)
    answer = distgan("inspect", "x")
    assert answer.code == code
    assert told in answer.err
    assert "Traceback" not in answer.err
    assert "Traceback" in distgan("inspect", "x", "--debug").err
    assert distgan("inspect", "x", "--json").json["error"]["code"] == "internal"


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in ("demo", "data", "ingest", "prepare", "inspect", "train", "sample", "models"))


# answers


def test_a_dry_run_prints_the_complete_recipe_and_makes_nothing(distgan: Distgan, tmp_path: Path) -> None:
    answer = distgan("train", RECIPE, "--dry-run", "--set", "method.penalty=5", "--json")
    assert answer.code == 0
    config = config_from_tables(answer.json["recipe"], "the answer")
    assert config == read_config(Path(RECIPE), ["method.penalty=5"])
    assert "method.penalty = 5.0" in answer.err.splitlines()
    assert answer.err.splitlines() == [f"{key} = {json.dumps(value)}" for key, value in config.flat().items()]
    assert list(tmp_path.iterdir()) == []


def test_without_json_nothing_goes_to_stdout(distgan: Distgan) -> None:
    answer = distgan("train", RECIPE, "--dry-run")
    assert (answer.code, answer.out) == (0, "")


def test_known_data_sets_are_listed(distgan: Distgan) -> None:
    answer = distgan("data", "list", "--json")
    assert answer.code == 0
    known = {one["name"]: one for one in answer.json["datasets"]}
    assert "synthetic_embryos" in known
    assert all({"title", "source", "licence", "groups"} < one.keys() for one in known.values())
    assert all(name in answer.err for name in known)


def test_a_folder_is_ingested_prepared_and_inspected(distgan: Distgan, raw: Path, tmp_path: Path) -> None:
    source = shutil.copytree(raw, tmp_path / "source")
    (source / "deep").mkdir()
    Image.new("1", (96, 96), 1).save(source / "deep" / "mask.png")
    (source / "broken.png").write_bytes((raw / "p00.png").read_bytes()[:500])
    (source / "notes.txt").write_text("no image")

    answer = distgan("ingest", source, "images.zarr", "--json")
    assert answer.code == 0
    assert answer.json.keys() == {"ingested", "quarantined"}
    files = {one["file"]: one for one in answer.json["ingested"]}
    assert len(files) == 13
    assert files["deep/mask.png"] == {
        "file": "deep/mask.png",
        "shape": [96, 96],
        "dtype": "bool",
        "min": 1,
        "max": 1,
        "nan": 0,
        "constant": True,
        "saturated": False,
        "duplicate_of": None,
    }
    (left_out,) = answer.json["quarantined"]
    assert left_out.keys() == {"file", "reason", "found"}
    assert left_out["file"] == "broken.png"
    assert ".txt" in answer.err

    answer = distgan("inspect", "images.zarr", "--json")
    assert (answer.code, answer.json["kind"], answer.json["files"]) == (0, "image store", 13)
    assert "files: 13" in answer.err.splitlines()

    how = "prepare={source = 'images.zarr', patch = {size = 32, cut = 'tiled'}}"
    answer = distgan("prepare", RECIPE, "images.zarr", "patches.zarr", "--set", how, "--json")
    assert answer.code == 0
    assert answer.json.keys() == {"store", "shape", "dtype", "digest"}
    assert (answer.json["shape"], answer.json["dtype"]) == ([117, 1, 32, 32], "uint8")

    digest = answer.json["digest"]
    answer = distgan("inspect", "patches.zarr", "--figure", "deep/picture.png", "--json")
    assert answer.code == 0
    assert (answer.json["kind"], answer.json["samples"], answer.json["digest"]) == ("patch store", 117, digest)
    assert (tmp_path / "deep" / "picture.png").read_bytes().startswith(b"\x89PNG")

    answer = distgan("ingest", source, "images.zarr")
    assert answer.code == 2  # what is committed is never written again


def test_verify_names_what_is_damaged(distgan: Distgan, patches: Path, tmp_path: Path) -> None:
    store = shutil.copytree(patches, tmp_path / "store.zarr")
    answer = distgan("verify", "store.zarr", "--json")
    assert (answer.code, answer.json) == (0, {"ok": True, "faults": []})

    shard = next(path for path in sorted((store / "images" / "c").rglob("*")) if path.is_file())
    name = shard.relative_to(store).as_posix()
    content = shard.read_bytes()
    spoiled = bytearray(content)
    spoiled[100] ^= 1
    for damage, reason in (
        (bytes(spoiled), "changed"),
        (content[:-1], "truncated"),
        (b"", "zero_length"),
        (None, "missing"),
    ):
        shard.unlink()
        if damage is not None:
            shard.write_bytes(damage)
        answer = distgan("verify", "store.zarr", "--json")
        assert answer.code == 65
        (fault,) = answer.json["faults"]
        assert (fault["object"], fault["reason"], fault["array"]) == (name, reason, "images")
        assert fault["chunk"] == [0, 0, 0, 0]
        assert name in answer.err
        assert reason in answer.err


def test_inspect_refuses_what_is_damaged(distgan: Distgan, patches: Path, tmp_path: Path) -> None:
    store = shutil.copytree(patches, tmp_path / "store.zarr")
    shard = next(path for path in (store / "images" / "c").rglob("*") if path.is_file())
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    answer = distgan("inspect", "store.zarr", "--figure", "a.png")
    assert answer.code == 65
    assert shard.relative_to(store).as_posix() in answer.err
    assert not (tmp_path / "a.png").exists()


def test_a_model_folder_can_be_sampled_and_shown(distgan: Distgan, finished: Path, tmp_path: Path) -> None:
    answer = distgan("sample", finished / "model", "--out", "s.npy", "--count", "3", "--json")
    assert answer.code == 0
    assert answer.json == {"out": "s.npy", "shape": [3, 1, 32, 32]}
    assert (tmp_path / "s.npy").is_file()
    answer = distgan("models", "show", finished / "model", "--json")
    assert answer.code == 0
    assert answer.json["digest"] in answer.err


def test_a_spoiled_model_is_refused_as_bad_data(distgan: Distgan, finished: Path, tmp_path: Path) -> None:
    model = shutil.copytree(finished / "model", tmp_path / "model")
    (model / "weights.safetensors").write_bytes(b"")
    assert distgan("sample", model, "--out", "s.png").code == 65
    assert not (tmp_path / "s.png").exists()
