"""The profiles of BBBC021: the join of three tables has the published counts, and finds the known mechanisms."""

from pathlib import Path

import numpy as np
import pytest

from storage.datasets.bbbc021_profiles import layout, profiles
from storage.errors import MissingError


def test_wells_have_their_treatment(real_data: Path) -> None:
    wells = profiles(real_data / "bbbc021_profiles")
    assert (wells.num_rows, wells.num_columns) == (632, 2 + 516 + 4)
    columns = {name: wells[name].to_pylist() for name in ("plate", "compound", "concentration", "moa", "batch")}
    assert columns["compound"].count("DMSO") == columns["moa"].count("DMSO") == 330
    assert all(plate.startswith(f"{batch}_") for plate, batch in zip(columns["plate"], columns["batch"], strict=True))
    treated = set(zip(columns["compound"], columns["concentration"], columns["moa"], strict=True)) - {
        ("DMSO", 0.0, "DMSO")
    }
    assert [len(set(column)) for column in zip(*treated, strict=True)][::2] == [38, 12]
    assert len(treated) == 103
    assert not any(wells[name].null_count for name in wells.column_names)


@pytest.mark.parametrize(
    ("tiny", "found"), [(0, (85, 67)), (1e-9, (74, 57))], ids=["no spread, no scaling", "divided by almost nothing"]
)
def test_they_find_the_mechanisms_that_can_be_found(tiny: float, found: tuple[int, int], real_data: Path) -> None:
    """Mechanisms of 103 treatments whose nearest neighbour shares them: of another compound; of another week too."""
    wells = profiles(real_data / "bbbc021_profiles")
    text = {name: np.array(wells[name].to_pylist()) for name in ("plate", "compound", "moa", "batch")}
    values = np.stack([wells[name].to_numpy() for name in wells.column_names[2:518]], axis=1)
    for plate in set(text["plate"]):
        rows = text["plate"] == plate
        controls = values[rows & (text["compound"] == "DMSO")]
        spread = controls.std(0, ddof=1)
        values[rows] = (values[rows] - controls.mean(0)) / (spread + tiny if tiny else np.where(spread, spread, 1))
    doses = np.array([f"{c} {d}" for c, d in zip(text["compound"], wells["concentration"].to_pylist(), strict=True)])
    treatments = [dose for dose in dict.fromkeys(doses) if not dose.startswith("DMSO")]
    first = [int(np.flatnonzero(doses == dose)[0]) for dose in treatments]
    means = np.stack([values[doses == dose].mean(0) for dose in treatments])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    compound, moa, batch = (text[name][first] for name in ("compound", "moa", "batch"))
    others = compound[:, None] != compound
    scores = []
    for allowed in (others, others & (batch[:, None] != batch)):
        nearest = np.where(allowed, means @ means.T, -2).argmax(1)
        scores.append(int((moa[nearest] == moa).sum()))
    assert tuple(scores) == found


def test_there_is_nothing_to_ingest(real_data: Path) -> None:
    assert layout(real_data / "bbbc021_profiles").describe("BBBC021_v1_moa.csv") is None


def test_without_the_tables_there_are_no_profiles(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"BBBC021_v1_moa\.csv"):
        profiles(tmp_path)
