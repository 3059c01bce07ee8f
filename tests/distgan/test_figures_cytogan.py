"""The figures of CytoGAN: what is read from runs, trials and scores, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from distgan.figures import load_paper
from distgan.figures.cytogan.curves import along, families
from distgan.figures.cytogan.mechanisms import mechanisms
from distgan.figures.cytogan.samples import SHOWN, samples
from distgan.plots.figure_set import Asked, Drawn
from storage.errors import DataError, MissingError

CYTOGAN = load_paper("cytogan")


def asked(home: Path, **settings: Any) -> Asked:
    return Asked(CYTOGAN.Settings(paper="cytogan", **settings), Path, home)


def run(folder: Path, spreads: list[float], duplicates: float = 0.0) -> Path:
    """A run with an evaluation before it began, and one for each spread."""
    folder.mkdir(parents=True)
    lines: list[dict[str, Any]] = [{"images_seen": 0, "metrics": {"kid": 500.0, "kid_floor": 0.1}}]
    for number, spread in enumerate(spreads, 1):
        diversity = {"spread": spread, "coverage": 0.4, "duplicates": duplicates}
        metrics = {"kid": 10.0 / number} | {f"diversity/{name}": value for name, value in diversity.items()}
        lines.append({"images_seen": 100 * number, "metrics": metrics})
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def search(folder: Path, trials: dict[tuple[str, int], list[float]]) -> None:
    for number, ((family, seed), spreads) in enumerate(trials.items()):
        trial = run(folder / "trials" / f"{number:04d}", spreads)
        (trial / "trial.json").write_text(json.dumps({"point": {"method.name": family, "run.seed": seed}}))
        (trial / "result.json").write_text("{}")
    recipe = {"method": {"name": "lsgan"}, "run": {"images": 100}}
    (folder / "search.json").write_text(json.dumps({"recipe": recipe}))


def only(found: Any) -> Drawn:
    (drawn,) = found
    assert isinstance(drawn, Drawn)
    return drawn


def test_the_curves_of_a_run_have_its_floor_and_every_evaluation(tmp_path: Path) -> None:
    run(tmp_path / "runs" / "one", [0.9, 0.8])
    drawn = only(along(asked(tmp_path, runs={"LSGAN": "one"})))
    assert [(row["images_seen"], row["kid"], row["floor"]) for row in drawn.numbers] == [
        (0, 500.0, 0.1),
        (100, 10.0, 0.1),
        (200, 5.0, 0.1),
    ]
    kid, spread, _ = drawn.figure.axes
    assert list(kid.lines[0].get_xdata()) == [100, 200]  # the untrained network is in the table alone
    assert list(spread.lines[0].get_ydata()) == [0.9, 0.8]
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in drawn.figure.axes)


def test_a_run_without_kid_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"images_seen": 0, "metrics": {"auc": 1.0}}\n')
    with pytest.raises(DataError, match="has no KID"):
        list(along(asked(tmp_path, runs={"LSGAN": "one"})))


def test_collapsed_seeds_of_a_family_are_counted_at_their_end(tmp_path: Path) -> None:
    trials = {("dcgan", 0): [0.9, 0.2], ("dcgan", 1): [0.3, 0.8], ("lsgan", 0): [0.9, 0.9], ("lsgan", 1): [0.9, 0.7]}
    search(tmp_path / "searches" / "seeds", trials)
    drawn = only(families(asked(tmp_path, searches=["seeds"])))
    assert "dcgan 1 of 2, lsgan 0 of 2" in drawn.caption
    assert {(row["family"], row["seed"]) for row in drawn.numbers} == set(trials)


def test_samples_that_are_copies_are_a_collapse_however_far_apart(tmp_path: Path) -> None:
    folder = tmp_path / "searches" / "seeds"
    search(folder, {("began", 0): [0.9]})
    (folder / "trials" / "0000" / "metrics.jsonl").unlink()
    (folder / "trials" / "0000").rename(folder / "trials" / "0001")
    lines = run(folder / "again", [0.9], duplicates=0.8) / "metrics.jsonl"
    lines.rename(folder / "trials" / "0001" / "metrics.jsonl")
    assert "began 1 of 1" in only(families(asked(tmp_path, searches=["seeds"]))).caption


def test_the_table_has_the_kinds_of_features_that_are_asked_for(tmp_path: Path) -> None:
    row = {"found": 24, "of": 32, "chance": 0.2, "compounds": 0.7}
    kinds = ("counted", "intensity", "pooled, tvn")
    found = [{"features": name, "rule": rule} | row for name in kinds for rule in ("NSC", "NSCB")]
    for name in ("lsgan", "dcgan"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "score.json").write_text(json.dumps({"mechanisms found": found}))
    scores = {name.upper(): str(tmp_path / name) for name in ("lsgan", "dcgan")}
    drawn = only(mechanisms(asked(tmp_path, scores=scores)))
    assert [(one["model"], one["features"], one["rule"], one["share"]) for one in drawn.numbers] == [
        ("LSGAN", "pooled, tvn", "NSC", 0.75),
        ("LSGAN", "pooled, tvn", "NSCB", 0.75),
        ("DCGAN", "pooled, tvn", "NSC", 0.75),
        ("DCGAN", "pooled, tvn", "NSCB", 0.75),
        ("", "intensity", "NSC", 0.75),  # once, for it is the same of every model
        ("", "intensity", "NSCB", 0.75),
    ]
    with pytest.raises(MissingError, match="no score"):
        list(mechanisms(asked(tmp_path, scores={"VAE": str(tmp_path / "vae")})))


def test_samples_stand_a_row_for_each_model(finished: Path, tmp_path: Path) -> None:
    drawn = only(samples(asked(tmp_path, models={"one": str(finished / "model"), "other": str(finished / "model")})))
    assert [row["model"] for row in drawn.numbers] == ["one", "other"]
    assert drawn.numbers[0]["deviation"] > 0
    assert [axis.texts[0].get_text() for axis in drawn.figure.axes[::2]] == ["one", "other"]
    assert f"first {SHOWN} images" in drawn.caption
