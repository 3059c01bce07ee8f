"""`distgan evaluate`: settings, tables of any kind, planted answers, and what is said of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from distgan.cli import main
from distgan.score import Asked
from distgan.scores import load_score, read_settings, score_names
from storage.embeddings import EmbeddingArrays
from storage.errors import DataError, MissingError, RecipeError
from storage.manifest import committed

MECHANISMS = 4


def planted(*, batch_effect: float = 0.0, seed: int = 0) -> pa.Table:
    """Two batches of two plates; per batch two compounds of each mechanism at two doses, four wells and eight controls.

    A mechanism is a direction; a batch adds another, much longer one, to all of its wells.
    """
    random = np.random.default_rng(seed)
    directions = random.normal(size=(MECHANISMS, 12)) * 3
    shifts = random.normal(size=(2, 12)) * batch_effect
    rows: list[dict[str, Any]] = []
    for batch in range(2):
        for plate in range(2):
            contents = [("DMSO", 0.0, "DMSO", np.zeros(12))] * 8
            for compound in range(2 * MECHANISMS):
                moa = compound % MECHANISMS
                for dose in (0.5, 1.0):
                    contents.append((f"C{batch}{compound}", dose, f"moa {moa}", dose * directions[moa]))
            for number, (compound_name, dose, moa_name, effect) in enumerate(contents):
                values = effect + shifts[batch] + random.normal(0, 0.5, 12)
                rows.append(
                    {"plate": f"{batch}.{plate}", "well": f"A{number}", "batch": f"week {batch}"}
                    | {"compound": compound_name, "concentration": dose, "moa": moa_name}
                    | {f"{'Intensity' if one < 3 else 'Shape'}_{one}": value for one, value in enumerate(values)}
                )
    return pa.Table.from_pylist(rows)


def scored(target: Path | str, cache: Path, *overrides: str) -> Any:
    name, settings = read_settings("moa", str(target), overrides)
    return load_score("moa").score(Asked(name, settings, cache))


def found(told: Any) -> dict[tuple[str, str], int]:
    return {(row["features"], row["rule"]): row["found"] for row in told.facts["mechanisms found"]}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_planted_mechanisms_are_found(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"wells.{suffix}"
    (csv.write_csv if suffix == "csv" else pq.write_table)(planted(), path)
    told = scored(path, tmp_path)
    assert {told.facts[name] for name in ("treatments", "compounds")} == {32, 16}
    assert told.facts["controls"] == 32
    assert found(told)["wells", "NSC"] == found(told)["wells", "NSCB"] == 32
    row = told.facts["mechanisms found"][0]
    assert row["of"] == row["possible"] == 32
    assert row["p"] < 0.01
    assert row["chance"] < 0.4
    assert ("wells, intensity alone", "NSC") in found(told)
    assert all(row["mean average precision"] > 0.9 for row in told.facts["replicates"][:1])
    json.dumps(told.facts)


def test_a_batch_effect_is_seen_between_nsc_and_nscb_and_removed(tmp_path: Path) -> None:
    pq.write_table(planted(batch_effect=30.0), tmp_path / "wells.parquet")
    raw = found(scored(tmp_path / "wells.parquet", tmp_path, "moa.normalise=none", 'moa.corrections=["none","tvn"]'))
    assert raw["wells", "NSC"] - raw["wells", "NSCB"] > 8
    assert raw["wells, tvn", "NSC"] == raw["wells, tvn", "NSCB"] == 32
    by_plate = found(scored(tmp_path / "wells.parquet", tmp_path))
    assert by_plate["wells", "NSC"] == by_plate["wells", "NSCB"] == 32


def test_profiles_of_cells_are_averaged_to_wells_and_counted(tmp_path: Path) -> None:
    wells = planted()
    cells = wells.take(np.repeat(np.arange(wells.num_rows), 1 + np.arange(wells.num_rows) % 3))
    pq.write_table(cells, tmp_path / "cells.parquet")
    told = scored(tmp_path / "cells.parquet", tmp_path, "moa.aggregate=median")
    assert found(told)["cells", "NSC"] == 32
    assert found(told)["counted", "NSC"] < 20
    pq.write_table(wells, tmp_path / "wells.parquet")
    assert not any("counted" in name for name, _ in found(scored(tmp_path / "wells.parquet", tmp_path)))


def test_every_kind_of_features_of_a_store_is_scored(tmp_path: Path) -> None:
    wells = planted()
    values = np.stack([wells.column(name).to_numpy() for name in wells.column_names[6:]], 1).astype(np.float32)
    arrays = EmbeddingArrays(len(values), {"representation": 12, "intensity": 3}, 40)
    with committed(tmp_path / "store", "embedding store", {"features": arrays.sizes, "rows": 40}) as partial:
        arrays.create(partial)
        for start, stop in arrays.shards:
            arrays.write(partial, start, {"representation": values[start:stop], "intensity": values[start:stop, :3]})
        pq.write_table(wells.select(wells.column_names[:6]), partial / "obs.parquet")
    told = found(scored(tmp_path / "store", tmp_path))
    assert told["representation", "NSCB"] == 32
    assert {name for name, _ in told} == {f"{one}{how}" for one in arrays.sizes for how in ("", ", sphering")}
    assert {name for name, _ in found(scored(tmp_path / "store", tmp_path, 'moa.features=["intens*"]'))} == {
        "intensity",
        "intensity, sphering",
    }
    with pytest.raises(RecipeError, match=r"no features area.*representation, intensity"):
        scored(tmp_path / "store", tmp_path, 'moa.features=["area"]')


def test_without_a_batch_there_is_no_nscb_and_that_is_said(tmp_path: Path) -> None:
    pq.write_table(planted().drop_columns(["batch"]), tmp_path / "wells.parquet")
    told = scored(tmp_path / "wells.parquet", tmp_path)
    assert {rule for _, rule in found(told)} == {"NSC"}
    assert sum("no NSCB" in note for note in told.facts["notes"]) == 1


def test_what_was_left_out_and_chosen_is_said(tmp_path: Path) -> None:
    table = planted()
    noise = np.random.default_rng(0).normal(size=table.num_rows)
    holes = pa.array([None, *noise[1:].tolist()])
    table = table.append_column("Shape_noise", pa.array(noise)).append_column("Shape_holes", holes)
    pq.write_table(table, tmp_path / "wells.parquet")
    told = scored(tmp_path / "wells.parquet", tmp_path, "moa.reproducible=0.5")
    assert any("1 of 14 features are unknown somewhere" in note for note in told.facts["notes"])
    assert any("of 13 features chosen, by replicates" in note for note in told.facts["notes"])


def test_too_few_controls_to_sphere_are_told(tmp_path: Path) -> None:
    table = planted()
    wide = np.random.default_rng(0).normal(size=(table.num_rows, 40))
    for number, column in enumerate(wide.T):
        table = table.append_column(f"Shape_more_{number}", pa.array(column))
    pq.write_table(table, tmp_path / "wells.parquet")
    assert any(
        "32 controls are too few" in note for note in scored(tmp_path / "wells.parquet", tmp_path).facts["notes"]
    )


def test_columns_are_called_what_they_are(tmp_path: Path) -> None:
    table = planted()
    table = table.rename_columns(
        [f"Metadata_{name}" if name in table.column_names[:6] else name for name in table.column_names]
    )
    pq.write_table(table, tmp_path / "wells.parquet")
    keys = {"compound": "compound", "dose": "concentration", "mechanism": "moa"} | {
        name: name for name in ("plate", "well", "batch")
    }
    lines = [f'{key} = "Metadata_{name}"' for key, name in keys.items()]
    recipe = tmp_path / "recipe.toml"
    of = f'of = "{tmp_path / "wells.parquet"}"'
    recipe.write_text("\n".join(["[moa]", of, *lines, 'controls = { Metadata_compound = ["DMSO"] }']))
    assert found(scored(recipe, tmp_path))["wells", "NSCB"] == 32


# mistakes


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("moa.plate=dish",), "no column 'dish'"),
        (('moa.controls={compound=["water"]}',), "no profile is a control"),
        (('moa.features=["Area*"]',), r"no features Area\*"),
        (("moa.agregate=mean",), "did you mean moa.aggregate"),
        (("kid.samples=3",), "unknown key kid"),
    ],
)
def test_mistakes_are_told(overrides: tuple[str, ...], message: str, tmp_path: Path) -> None:
    pq.write_table(planted(), tmp_path / "wells.parquet")
    with pytest.raises(RecipeError, match=message):
        scored(tmp_path / "wells.parquet", tmp_path, *overrides)


def test_targets_that_are_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("[moa]\n")
    with pytest.raises(RecipeError, match="does not say what is scored"):
        scored(tmp_path / "recipe.toml", tmp_path)
    with pytest.raises(MissingError, match="no profiles"):
        scored(tmp_path / "none.csv", tmp_path)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="is not a table"):
        scored(tmp_path / "broken.parquet", tmp_path)
    with committed(tmp_path / "model", "model", {}):
        pass
    with pytest.raises(DataError, match="is no embedding store"):
        scored(tmp_path / "model", tmp_path)


def test_an_unknown_score_lists_those_there_are() -> None:
    assert "moa" in score_names()
    with pytest.raises(RecipeError, match=r"the scores are .*moa"):
        load_score("mao")


def test_the_command_writes_tables_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(planted(), tmp_path / "wells.parquet")
    command = ["evaluate", "moa", str(tmp_path / "wells.parquet"), "--json", "--out", str(tmp_path / "out")]
    assert main([*command, "--set", 'moa.corrections=["none"]', "--set", "moa.intensity="]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mechanisms found"][0]["found"] == 32
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"score.json", "wells_NSC.csv", "wells_NSCB_confusion.png", "wells_map.png"} <= written
    nearest = csv.read_csv(tmp_path / "out" / "wells_NSCB.csv")
    assert nearest["batch"].to_pylist() != nearest["nearest batch"].to_pylist()
    assert nearest["moa"].to_pylist() == nearest["nearest moa"].to_pylist()
    assert main(command) == RecipeError.exit_code
