"""One digest, whatever the number of workers, and whatever it was before a restart.

With two workers addition commutes and hides mistakes; hence 1, 2, 3 and 4.
"""

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("gloo_ranks.py")
CASES = ("layer", "batch", "bfloat16", "channels_last", "pool", "balance", "dropout", "star", "look-alikes")
WORKERS = (4, 1, 3, 2)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, str(SCRIPT), str(folder)]
    subprocess.run(command, check=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, list[str]]:
    """What the ranks found, by what was done: the case, the number of workers, and the step."""
    said: dict[str, list[str]] = {}
    for rank in range(4):
        for what, one in json.loads((folder / f"rank-{rank}.json").read_text()).items():
            said.setdefault(what, []).append(one)
    return said


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_every_worker_of_every_group_has_one_digest(found: dict[str, list[str]], case: str, step: int) -> None:
    """Four shards, or six, which four workers cannot share evenly."""
    digests = [found[f"{case} {workers} step {step}"] for workers in WORKERS]
    assert [len(one) for one in digests] == list(WORKERS)
    assert len({digest for one in digests for digest in one}) == 1


@pytest.mark.parametrize("case", CASES)
def test_a_run_whose_workers_change_in_number_ends_as_if_they_had_not(found: dict[str, list[str]], case: str) -> None:
    """Four of them make two steps, and one, three and two make one more each."""
    for step, workers in zip((3, 4, 5), WORKERS[1:], strict=True):
        assert found[f"{case} {workers} after {step}"] == found[f"{case} {workers} step {step}"]


def test_the_digests_tell_runs_and_steps_apart(found: dict[str, list[str]]) -> None:
    assert len({found[f"{case} 1 step {step}"][0] for case in CASES for step in range(1, 6)}) == 5 * len(CASES)


def test_a_checkpoint_has_the_state_of_every_shard(folder: Path) -> None:
    newest = max((folder / "pool" / "2").iterdir())
    state = load_file(newest / "state.safetensors")
    assert len({name for name in state if name.startswith("shard.")}) == 6 * 2
    pools = [state[f"shard.{shard}.pool"] for shard in range(6)]
    assert not any(torch.equal(one, other) for one, other in pairwise(pools))
    assert all(state[f"shard.{shard}.filled"] == 3 for shard in range(6))


@pytest.mark.parametrize("workers", WORKERS)
def test_what_is_not_finite_on_one_rank_moves_nothing_on_any(found: dict[str, list[str]], workers: int) -> None:
    assert (
        found[f"stop {workers} said"]
        == ["the term real is not a finite number in turn critic after 12 images"] * workers
    )
    assert found[f"skip {workers} skipped"] == ["1"] * workers
    for policy in ("stop", "skip"):
        assert found[f"{policy} {workers} moved"] == ["False"] * workers


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_a_rank_that_has_come_apart_is_named_by_all(found: dict[str, list[str]], workers: int) -> None:
    (said,) = set(found[f"apart {workers}"])
    assert len(found[f"apart {workers}"]) == workers
    assert f"rank {workers - 1} are not those of rank 0" in said
    assert "apart 1" not in found


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_a_fast_sum_is_the_same_on_all_ranks_and_nearly_the_exact_one(
    folder: Path, found: dict[str, list[str]], workers: int
) -> None:
    assert len(set(found[f"fast {workers}"])) == 1
    exact, fast = (load_file(folder / f"{mode}-{workers}.safetensors") for mode in ("exact", "fast"))
    # After one step with beta 0 the mean of Adam is the gradient.
    gradients = [name for name in exact if re.fullmatch(r"optimizer\.critic\..*\.exp_avg", name)]
    assert len(gradients) > 5
    wanted, fast_sum = (torch.cat([state[name].flatten() for name in gradients]) for state in (exact, fast))
    assert (fast_sum - wanted).norm() <= 1e-5 * wanted.norm()
