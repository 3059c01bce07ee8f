"""One cell through both models: each makes again what it knows, and only a pair is taken."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from distgan.cli import main
from distgan.config.run_config import AnyRun
from distgan.inference.regenerate import regenerate
from distgan.inference.told import samples_of
from distgan.model import load_model
from storage.errors import RecipeError
from storage.patches import PatchStore
from tests.distgan.cells.conftest import CLASSES, model_of


def test_both_phases_make_a_cell_again_and_tell_its_codes(
    phase_1: Path, phase_2: Path, store: PatchStore, tmp_path: Path
) -> None:
    model, reference = load_model(phase_2), load_model(phase_1)
    table = regenerate(model, store, [4, 9, 17], tmp_path / "deep" / "cells.png", reference)
    with Image.open(tmp_path / "deep" / "cells.png") as picture:
        assert np.asarray(picture).std() > 0
    written = list(csv.DictReader((tmp_path / "deep" / "cells.csv").read_text(encoding="utf-8").splitlines()))
    assert [line["row"] for line in written] == ["4", "9", "17"]
    assert [line["class"] for line in table] == [CLASSES[row % 3] for row in (4, 9, 17)]
    cells = samples_of(model, store, [4, 9, 17])
    method: Any = model.method
    kinds, said, code = method.heads(cells.images)
    for number, line in enumerate(table):
        assert line["said"] == CLASSES[kinds[number].argmax()]
        assert line["z_r_0"] == pytest.approx(method.shape(cells.images)[number, 0].item(), rel=1e-4)
        assert line["z_r_said_1"] == pytest.approx(said[number, 1].item(), rel=1e-4)
        assert line["z_s_2"] == pytest.approx(code[number, 2].item(), rel=1e-4)
    shape: Any = reference.method
    errors = (shape.reconstruction(cells)[:, 2] - cells.images[:, 2]).square().mean((1, 2)) / 4
    for line, error in zip(table, errors.tolist(), strict=True):
        assert line["DNA by phase 1 [dB]"] == pytest.approx(-10 * np.log10(error), rel=1e-4)
    assert {"structure by phase 2 [dB]", "structure by mean image [dB]"} <= table[0].keys()
    assert "structure by phase 1 [dB]" not in table[0]


def test_one_model_alone_is_taken_too(
    phase_1: Path, configured: Callable[..., AnyRun], store: PatchStore, tmp_path: Path
) -> None:
    (line,) = regenerate(load_model(phase_1), store, [3], tmp_path / "shape.png")
    assert {"membrane by the model [dB]", "z_0"} <= line.keys()
    vae = load_model(model_of(configured("conditional_beta_vae"), tmp_path / "vae", store))
    (line,) = regenerate(vae, store, [3], tmp_path / "vae.png")
    assert line["class"] == CLASSES[0]
    assert "said" not in line


def test_models_that_do_not_belong_together_are_refused(
    phase_1: Path, phase_2: Path, configured: Callable[..., AnyRun], store: PatchStore, tmp_path: Path
) -> None:
    other = model_of(configured("cell_autoencoder", run={"seed": 1}), tmp_path / "other", store)
    with pytest.raises(RecipeError, match="not phase 1 and phase 2 of one integrated cell"):
        regenerate(load_model(phase_2), store, [0], tmp_path / "x.png", load_model(other))
    with pytest.raises(RecipeError, match="not phase 1 and phase 2"):
        regenerate(load_model(phase_1), store, [0], tmp_path / "x.png", load_model(phase_1))
    with pytest.raises(RecipeError, match=r"cannot be written as \.tif"):
        regenerate(load_model(phase_2), store, [0], tmp_path / "x.tif")


def test_the_command_finds_phase_1_by_itself(
    phase_2: Path, store: PatchStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("DISTGAN_HOME", str(tmp_path / "home"))
    torch.manual_seed(0)
    assert (
        main(["regenerate", str(phase_2), str(store.path), "--rows", "1", "2", "--out", str(tmp_path / "c.png")]) == 0
    )
    assert "membrane by phase 1 [dB]" in capsys.readouterr().err
