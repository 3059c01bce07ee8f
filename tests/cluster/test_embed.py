"""Ray as a place where `embed` runs its tasks: the same bytes as from threads of this process."""

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from distgan.cli import main
from distgan.config.run_config import config_from_tables
from distgan.inference.embed import embed
from distgan.method import Sample, build
from distgan.methods import load_method
from storage.manifest import committed
from storage.patches import PatchStore


@pytest.fixture
def model(patches: Path, tmp_path: Path) -> Path:
    """A model that has not learnt anything."""
    store = PatchStore.open(patches)
    tables = {
        "run": {"name": "tiny", "images": 16, "batch_size": 16},
        "data": {"store": str(patches)},
        "method": {"name": "lsgan", "preset": "small", "width": 4, "critic_width": 4},
        "evaluate": {"every_images": 16},
        "checkpoint": {"every_images": 16},
    }
    config = config_from_tables(tables, "the test")
    method = build(load_method("lsgan"), config.method, Sample(store.shape[1:]), 0)
    card = {
        "recipe": config.dump(),
        "image_shape": store.shape[1:],
        "channels": store.channels,
        "dtype": store.dtype,
        "value_range": store.value_range,
    }
    with committed(tmp_path / "model", "model", {}) as partial:
        save_file(
            {name: value.contiguous() for name, value in method.state_dict().items()}, partial / "weights.safetensors"
        )
        (partial / "model.json").write_text(json.dumps(card))
    return tmp_path / "model"


@pytest.mark.cluster
def test_ray_writes_the_bytes_that_threads_write(
    model: Path, patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTGAN_HOME", str(tmp_path / "home"))
    command = ["embed", str(model), str(patches), "--out", str(tmp_path / "ray"), "--workers", "2", "--json"]
    assert main([*command, "--table", str(tmp_path / "table.parquet")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["samples"] == 384
    assert told["digest"] == embed(model, patches, tmp_path / "threads", device="cpu").digest
    assert (tmp_path / "table.parquet").is_file()
