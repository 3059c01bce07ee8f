"""The parts of a step add up to it, and nothing of a run is left behind."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distgan.config.run_config import config_from_tables
from distgan.monitoring.profiling import STEPS, profile


def test_the_parts_of_a_step_are_named_and_add_up(tables: dict[str, Any], tmp_path: Path) -> None:
    config = config_from_tables(tables, "the test")
    *parts, whole = profile(config, torch.device("cpu"))
    found = {one.part: one for one in parts}
    assert {"batches", "critic: forward", "critic: backward", "critic: optimizer", "generator: forward"} <= set(found)
    assert whole.part == "one step"
    assert sum(one.milliseconds for one in parts) == pytest.approx(whole.milliseconds, abs=0.01 * len(parts))
    assert sum(one.share for one in parts) == pytest.approx(1, abs=0.001 * len(parts))
    assert [one.milliseconds for one in parts] == sorted((one.milliseconds for one in parts), reverse=True)
    assert found["critic: forward"].calls == config.run.virtual_shards
    assert 0 < found["generator: optimizer"].calls < 1
    assert found["generator: optimizer"].calls * STEPS == STEPS // config.method.critic_steps
    assert list(tmp_path.iterdir()) == []
