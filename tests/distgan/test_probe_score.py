"""`distgan evaluate probe`: what features tell of a column, on groups that were not learned from."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distgan.score import Asked
from distgan.scores import load_score, read_settings
from storage.errors import DataError, RecipeError


def cells(*, effect: float, shift: float = 0.0, one: str = "treated") -> pa.Table:
    """Three plates of 80 cells, half of them treated; `shift` moves each plate, `effect` the treated cells."""
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for plate in range(3):
        for number in range(80):
            values = random.normal(size=4) + plate * shift
            values[0] += effect * (number % 2)
            about = {"plate": f"P{plate}", "well": f"{plate}{number // 8}", "moa": one if number % 2 else "DMSO"}
            rows.append(about | {f"feature_{at}": value for at, value in enumerate(values)})
    return pa.Table.from_pylist(rows)


def probed(table: pa.Table, folder: Path, *overrides: str) -> Any:
    pq.write_table(table, folder / "cells.parquet")
    name, settings = read_settings("probe", str(folder / "cells.parquet"), overrides)
    return load_score("probe").score(Asked(name, settings, folder))


def by_features(told: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["features"], row["held out"]): row for row in told.facts["told"]}


def test_a_planted_effect_is_told_on_every_plate_that_was_held_out(tmp_path: Path) -> None:
    told = probed(cells(effect=4.0), tmp_path, "probe.resample=well")
    rows = by_features(told)
    assert {held_out for _, held_out in rows} == {"P0", "P1", "P2", "mean of groups with all classes"}
    mean = rows["cells", "mean of groups with all classes"]
    assert mean["auc"] > 0.98
    assert mean["auc low"] <= mean["auc"] <= mean["auc high"]
    assert rows["the most frequent class", "P0"]["accuracy"] == 0.5
    assert rows["the most frequent class", "P0"]["auc"] == 0.5
    assert told.facts["samples"] == {"DMSO": 120, "treated": 120}
    assert told.tables["told"].num_rows == len(told.facts["told"]) == 8


def test_no_effect_is_not_told(tmp_path: Path) -> None:
    mean = by_features(probed(cells(effect=0.0), tmp_path, "probe.resample=well"))[
        "cells", "mean of groups with all classes"
    ]
    assert abs(mean["auc"] - 0.5) < 0.12
    assert mean["auc low"] < 0.5 < mean["auc high"]


def test_what_a_plate_adds_is_not_mistaken_for_an_effect(tmp_path: Path) -> None:
    """Were the plate itself learned from, a line could follow its shift."""
    rows = by_features(probed(cells(effect=0.0, shift=30.0), tmp_path))
    assert all(row["accuracy"] < 0.65 for row in rows.values())


def test_a_group_of_one_class_has_an_accuracy_and_no_area(tmp_path: Path) -> None:
    table = cells(effect=4.0)
    untreated = pa.compute.or_(pa.compute.not_equal(table["plate"], "P0"), pa.compute.equal(table["moa"], "DMSO"))
    rows = by_features(probed(table.filter(untreated), tmp_path))
    assert "auc" not in rows["cells", "P0"]
    assert rows["cells", "P0"]["accuracy"] > 0.9
    others = [rows["cells", plate]["auc"] for plate in ("P1", "P2")]
    assert rows["cells", "mean of groups with all classes"]["auc"] == pytest.approx(np.mean(others))


def test_one_class_or_one_group_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one class alone"):
        probed(cells(effect=1.0, one="DMSO"), tmp_path)
    with pytest.raises(DataError, match="one group alone"):
        probed(cells(effect=1.0).filter(pa.compute.equal(cells(effect=1.0)["plate"], "P0")), tmp_path)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no column 'field'"):
        probed(cells(effect=1.0), tmp_path, "probe.groups=field")
