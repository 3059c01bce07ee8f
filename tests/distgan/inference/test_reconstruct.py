"""Held-out images are made again, compared with what needs no model, and a killed call is gone on with."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distgan.cli import main
from distgan.data.batches import choose, to_unit_range
from distgan.inference import reconstruct as module
from distgan.inference.invert import Inverter, Search
from distgan.inference.reconstruct import reconstruct
from distgan.model import Model, load_model
from storage.embeddings import EmbeddingStore
from storage.errors import RecipeError
from storage.patches import PatchStore

QUICK = Search(starts=1, evaluations=4, encoder=2)


@pytest.fixture(scope="module")
def model(finished: Path) -> Model:
    return load_model(finished / "model")


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 5)
    monkeypatch.setattr(module, "BLOCK", 20)


def test_every_held_out_image_is_compared(model: Model, patches: Path, tmp_path: Path) -> None:
    store = PatchStore.open(patches)
    found = reconstruct(model, store, tmp_path / "out", QUICK, count=12, by="file")
    chosen = choose(store, model.config.data)
    with (tmp_path / "out/errors.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert {int(line["rows"]) for line in lines} <= set(chosen.held_out.tolist())
    train = to_unit_range(store.read(chosen.train), (0, 255)) / 2
    for line in lines:
        own = to_unit_range(store.read(np.array([int(line["rows"])])), (0, 255)) / 2
        apart = (train - own).square().mean((1, 2, 3)).sqrt()
        assert float(line["nearest"]) == pytest.approx(apart.min().item(), rel=1e-4)
        assert int(line["nearest_row"]) == chosen.train[apart.argmin()]
        assert float(line["mean"]) == pytest.approx((train.mean(0) - own).square().mean().sqrt().item(), rel=1e-4)
        assert float(line["reconstruction"]) <= float(line["encoder"]) + 1e-6
    codes, images = (kind.open(tmp_path / "out" / name) for kind, name in STORES)
    method: Any = model.method
    made = method.decoded(torch.from_numpy(codes.read("codes")), None)
    assert (to_unit_range(images.read(np.arange(12)), (0, 255)) - made).abs().max() < 1.01 / 255
    assert codes.obs.column("patch_row").to_pylist() == [int(line["rows"]) for line in lines]
    whole, *by_file = found["errors"]
    assert whole["count"] == 12 == sum(part["count"] for part in by_file)
    assert json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8")) == found
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"panel.png", "errors.png", "surprise.png"}


STORES: tuple[tuple[Any, str], ...] = ((EmbeddingStore, "codes.zarr"), (PatchStore, "images.zarr"))


def test_a_killed_call_is_gone_on_with(
    model: Model, patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PatchStore.open(patches)
    search = Search(starts=1, evaluations=3, encoder=0)
    whole = reconstruct(model, store, tmp_path / "whole", search, count=12)
    sought: list[list[int]] = []
    found = Inverter.__call__

    def killed(self: Inverter, batch: Any, rows: list[int]) -> Any:
        sought.append(rows)
        if len(sought) == 2:
            raise OSError("no power")
        return found(self, batch, rows)

    monkeypatch.setattr(Inverter, "__call__", killed)
    with pytest.raises(OSError, match="no power"):
        reconstruct(model, store, tmp_path / "out", search, count=12)
    assert reconstruct(model, store, tmp_path / "out", search, count=12) == whole
    assert sought[2:] == sought[1:2] + sought[3:]
    digests = [EmbeddingStore.open(tmp_path / name / "codes.zarr").digest for name in ("whole", "out")]
    assert digests[0] == digests[1]
    with pytest.raises(RecipeError, match="they differ in search"):
        reconstruct(model, store, tmp_path / "out", QUICK, count=12)


def test_the_command_says_what_it_found(
    finished: Path, patches: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["--count", "6", "--starts", "1", "--evaluations", "2", "--encoder", "0", "--json"]
    command = ["reconstruct", str(finished / "model"), str(patches), "--out", str(tmp_path / "out"), *keys]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["errors"][0]["count"] == 6
    walk = ["interpolate", str(finished / "model"), "--out", str(tmp_path / "walk"), "--steps", "3", "--count", "2"]
    assert main(walk) == 0
    rows = ["--store", str(patches), "--from", "5", "--to", "1", "--evaluations", "2"]
    assert main([*walk[:3], str(tmp_path / "rows"), "--steps", "3", *rows]) == 0
    assert main([*walk[:3], str(tmp_path / "none"), "--from", "5", "--to", "1"]) == RecipeError.exit_code
