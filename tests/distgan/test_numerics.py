"""A fingerprint of what decides the last bits, and what is said when it is another."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.engine.numerics import Fingerprint, check, differences, fingerprint
from storage.errors import DataError

CPU = torch.device("cpu")
PATH = Path("checkpoints/images-000000000300")


@pytest.fixture
def config(tables: dict[str, Any]) -> AnyRun:
    return config_from_tables(tables, "the test")


@pytest.fixture
def now(config: AnyRun) -> Fingerprint:
    return fingerprint(config, CPU)


@pytest.fixture
def settings_restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.backends.mkldnn.set_flags(_enabled=True, _fp32_precision=None)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=False)


def test_it_is_the_same_again_and_after_json(config: AnyRun, now: Fingerprint) -> None:
    assert differences(json.loads(json.dumps(now)), fingerprint(config, CPU)) == []


@pytest.mark.usefixtures("settings_restored")
def test_every_setting_of_the_process_is_seen(config: AnyRun, now: Fingerprint) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.mkldnn.set_flags(_enabled=False, _fp32_precision=None)
    assert differences(now, fingerprint(config, CPU)) == [
        f"threads {threads} -> {threads + 1}",
        "oneDNN True -> False",
        "deterministic False -> True",
    ]


def test_the_recipe_is_seen(tables: dict[str, Any], now: Fingerprint) -> None:
    tables["run"] |= {"virtual_shards": 4, "reduction": "fast"}
    found = differences(now, fingerprint(config_from_tables(tables, "the test"), CPU))
    assert found == ["virtual shards 2 -> 4", "reduction exact -> fast"]


@pytest.mark.parametrize("key", ["torch", "CPU capability", "device", "float32 precision"])
def test_another_machine_is_seen(now: Fingerprint, key: str) -> None:
    assert differences(now | {key: "before"}, now) == [f"{key} before -> {now[key]}"]


def test_what_an_older_program_did_not_know_is_not_compared(now: Fingerprint) -> None:
    assert differences({}, now) == []
    assert differences({"threads": now["threads"], "of old": 1}, now) == []


@pytest.mark.parametrize("strict", [False, True])
def test_nothing_is_said_of_the_same_numerics(now: Fingerprint, strict: bool, caplog: pytest.LogCaptureFixture) -> None:
    check(PATH, now, now, strict=strict)
    assert caplog.messages == []


def test_other_numerics_are_one_warning(now: Fingerprint, caplog: pytest.LogCaptureFixture) -> None:
    check(PATH, now | {"threads": 7, "torch": "1.0"}, now, strict=False)
    (told,) = caplog.messages
    assert "images-000000000300 continues, not bit-identical: " in told
    assert f"torch 1.0 -> {torch.__version__}, threads 7 -> {now['threads']}" in told


def test_other_numerics_are_refused_where_the_bits_must_be_the_same(
    now: Fingerprint, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match=f"threads 7 -> {now['threads']} since") as caught:
        check(PATH, now | {"threads": 7}, now, strict=True)
    assert "--strict" in caught.value.do
    assert caplog.messages == []
