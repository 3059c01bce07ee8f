"""Compiled losses: the mathematics of the plain ones, under the same names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distgan.engine.trainer import Trainer
from distgan.engine.turns import Found
from distgan.method import Turn
from storage.errors import RecipeError

MakeTrainer = Callable[..., Trainer]


def found_by(trainer: Trainer, turn: Turn) -> Found:
    return trainer.passes(turn, lambda shard: trainer._shard(shard, 0))


def joined(found: Found) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in found.gradients.values()])


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch"])
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of what it does itself
def test_a_compiled_step_is_the_plain_one_up_to_rounding(
    tables: dict[str, Any], make_trainer: MakeTrainer, norm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    tables["method"] |= {"critic_norm": norm, "decay": 0.01, "penalty_every": 2}
    plain = make_trainer(tables)
    tables["run"]["compile"] = "default"
    compiled = make_trainer(tables)
    assert list(compiled.collect()) == list(plain.collect())
    for ours, theirs in zip(compiled.turns, plain.turns, strict=True):
        mine, wanted = found_by(compiled, ours), found_by(plain, theirs)
        assert list(mine.terms) == list(wanted.terms)
        assert (joined(mine) - joined(wanted)).norm() < 1e-5 * joined(wanted).norm()
        for name, value in wanted.terms.items():
            torch.testing.assert_close(mine.terms[name], value, rtol=1e-5, atol=1e-6)
        for one, other in zip(mine.buffers.values(), wanted.buffers.values(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    for _ in range(2):
        compiled.step()
    again = make_trainer(tables)
    again.restore(compiled.collect(), compiled.steps)
    for _ in range(3):
        compiled.step()
        again.step()
    assert again.digest() == compiled.digest()
    one = make_trainer(tables | {"run": tables["run"] | {"compile": "off"}})
    one.restore(compiled.collect(), compiled.steps)  # and a checkpoint goes on without
    assert one.digest() == compiled.digest()


def test_without_a_compiler_it_is_refused(
    tables: dict[str, Any], make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    tables["run"]["compile"] = "default"
    with pytest.raises(RecipeError, match="needs a C\\+\\+ compiler"):
        make_trainer(tables)
