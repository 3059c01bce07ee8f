"""What a structure loses with a channel, for models whose answer is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distgan.assessment import cell_sets
from distgan.families.cells import CellMethod
from distgan.method import Batch
from distgan.methods.conditional_autoencoder import ConditionalAutoencoder
from distgan.score import Asked, Told
from distgan.scores import dependence
from distgan.scores.dependence import Settings, others, score
from storage.errors import DataError, RecipeError


def scored(target: Path, **keys: Any) -> Told:
    return score(Asked(str(target), Settings(resamples=100, **keys), target))


def by(told: Told) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["structure"], row["exchanged"]): row for row in told.facts["scores"]}


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model says that the structure is the membrane, times 1, whatever its class and code."""

    def decoded(self: CellMethod, codes: Tensor, batch: Batch) -> Tensor:
        images = batch.images.clone()
        images[:, 1] = images[:, 0]
        return images

    monkeypatch.setattr(ConditionalAutoencoder, "decoded", decoded)


def test_a_structure_that_is_read_from_the_membrane_needs_the_membrane_alone(phase_2: Path, copies: None) -> None:
    told = scored(phase_2)
    found = by(told)
    assert {name for _, name in found} == {"membrane", "DNA", "membrane and DNA"}
    assert {name for name, _ in found} == {"golgi", "lamin", "nucleoli", "all"}
    for structure in ("golgi", "lamin", "nucleoli", "all"):
        membrane, dna = found[structure, "membrane"], found[structure, "DNA"]
        assert membrane["correlation"] > 0.8
        assert membrane["drop low"] > 0.1
        assert membrane["rise low"] > 0
        assert membrane["change"] > 0.1
        assert (dna["drop"], dna["drop low"], dna["drop high"]) == (0, 0, 0)
        assert dna["rise"] == dna["change"] == 0
        assert found[structure, "membrane and DNA"]["drop"] == membrane["drop"]
    row = found["all", "membrane"]
    assert row["without it"] == pytest.approx(row["correlation"] - row["drop"], abs=2e-4)
    assert row["drop low"] <= row["drop"] <= row["drop high"]
    assert len(told.figures["dependence"]().axes) == 3


def test_a_prediction_is_as_good_as_the_mean_of_its_class_where_it_is_that(
    phase_2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[cell_sets.CellSets] = []
    of = cell_sets.CellSets.of

    def remembered(asked: Asked) -> cell_sets.CellSets:
        seen.append(of(asked))
        return seen[0]

    monkeypatch.setattr(dependence.CellSets, "of", remembered)
    monkeypatch.setattr(ConditionalAutoencoder, "decoded", lambda self, codes, batch: seen[0].means(batch))
    for row in scored(phase_2).facts["scores"]:
        assert row["correlation"] == row["mean image"]
        assert row["cross-entropy"] == row["mean image's"]
        assert row["drop"] == row["rise"] == 0


def test_everybody_gets_others_and_never_one_twice() -> None:
    found = torch.stack(others(7, 5, 0))
    assert not (found == torch.arange(7)).any()
    assert all(sorted(row) == list(range(7)) for row in found.tolist())
    assert all(len(set(column)) == 5 for column in found.T.tolist())
    assert found.tolist() == torch.stack(others(7, 5, 0)).tolist()
    assert found.tolist() != torch.stack(others(7, 5, 1)).tolist()
    with pytest.raises(DataError, match=r"too few held-out cells.*5 cells, 5 others"):
        others(5, 5, 0)


def test_models_without_structures_and_stores_without_unseen_cells_are_refused(
    phase_1: Path, configured: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"cell_autoencoder makes no structure.*membrane, DNA"):
        scored(phase_1)
    with pytest.raises(RecipeError, match=r"is no model"):
        scored(tmp_path)
