"""One digest, whatever the number of workers, and whatever it was before a restart.

With two workers addition commutes and hides mistakes; hence 1, 2, 3 and 4.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("gloo_ranks.py")
NORMS = ("layer", "batch")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, str(SCRIPT), str(folder)]
    subprocess.run(command, check=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return folder


@pytest.fixture(scope="module")
def digests(folder: Path) -> dict[tuple[str, int], str]:
    """By (what was done, rank); what was done names the workers of the checkpoint and of the group."""
    return {
        (what, rank): digest
        for rank in range(4)
        for what, digest in json.loads((folder / f"rank-{rank}.json").read_text()).items()
    }


def among(digests: dict[tuple[str, int], str], norm: str, ending: str) -> list[str]:
    return [digest for (what, _), digest in digests.items() if what.startswith(norm) and what.endswith(ending)]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_every_worker_of_every_group_has_one_digest(digests: dict[tuple[str, int], str], norm: str, step: int) -> None:
    found = among(digests, norm, f"step {step}")
    assert len(found) == 1 + 2 + 3 + 4 + 1
    assert len(set(found)) == 1


@pytest.mark.parametrize("norm", NORMS)
def test_going_on_with_another_number_of_workers_changes_nothing(
    digests: dict[tuple[str, int], str], norm: str
) -> None:
    resumed = among(digests, norm, "resumed")
    assert len(resumed) == 2 + 3 + 4 + 1
    assert set(resumed) == set(among(digests, norm, "step 5"))


def test_the_digests_tell_runs_and_steps_apart(digests: dict[tuple[str, int], str]) -> None:
    apart = {among(digests, norm, f"step {step}")[0] for norm in NORMS for step in range(1, 6)}
    assert len(apart) == 10


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_a_fast_sum_is_the_same_on_all_ranks_and_nearly_the_exact_one(
    folder: Path, digests: dict[tuple[str, int], str], workers: int
) -> None:
    ranks = {
        digest for (what, _), digest in digests.items() if what.startswith("fast") and what.endswith(f"-{workers}")
    }
    assert len(ranks) == 1
    exact, fast = (load_file(folder / f"{mode}-{workers}.safetensors") for mode in ("exact", "fast"))
    # After one step with beta 0 the mean of Adam is the gradient.
    gradients = [name for name in exact if re.fullmatch(r"optimizer\.critic\..*\.exp_avg", name)]
    assert len(gradients) > 5
    wanted, found = (torch.cat([state[name].flatten() for name in gradients]) for state in (exact, fast))
    assert (found - wanted).norm() <= 1e-5 * wanted.norm()
