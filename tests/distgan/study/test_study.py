"""A study: what the page tells and does not tell, what it does in a browser's language, and what answers mean."""

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distgan import cli
from distgan.data.image_sets import open_images
from distgan.model import load_model
from distgan.study.answers import read_answers
from distgan.study.panel import KEY, PAGE, Panel, write_study
from distgan.study.results import results
from storage.errors import DataError, MissingError, RecipeError

SCRIPT = Path(write_study.__code__.co_filename).with_name("page.js")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """60 real pictures, noisy, and 60 made ones, smooth, which PNG makes much smaller."""
    random = np.random.default_rng(0)
    for name in ("real", "made"):
        (tmp_path / name).mkdir()
        for number in range(60):
            picture = np.empty((12, 16, 3), np.uint8)
            picture[:] = 3 * number + 2 * np.arange(16)[:, None]
            if name == "real":
                picture += random.integers(0, 40, picture.shape, np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{name}{number:02d}.png")
    return tmp_path / "real", tmp_path / "made"


def made(folders: tuple[Path, Path], out: Path, **keys: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The study on the page, the key, and the whole page."""
    real, other = (open_images(folder) for folder in folders)
    write_study(real, other, Panel(**keys), out)
    page = (out / PAGE).read_text("utf-8")
    (told,) = re.findall(r'<script type="application/json" id="study">(.*?)</script>', page, re.DOTALL)
    return json.loads(told), json.loads((out / KEY).read_text("utf-8")), page


# the page


def test_every_image_is_shown_once_and_the_key_knows_which_it_is(folders: tuple[Path, Path], tmp_path: Path) -> None:
    study, key, _ = made(folders, tmp_path / "study", number=40, share=0.25, examples=5)
    truth = {one["id"]: one for one in key["key"]}
    assert len(truth) == len({one["png"] for one in study["images"]}) == 40
    assert {one["id"] for one in study["images"]} == set(truth)
    assert sum(one["made"] for one in truth.values()) == 10
    assert [one["made"] for one in study["examples"]] == [False] * 3 + [True] * 2
    assert not {one["png"] for one in study["examples"]} & {one["png"] for one in study["images"]}
    for one in study["images"]:
        found = truth[one["id"]]
        folder = folders[1] if found["made"] else folders[0]
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(one["png"]))), np.float64)
        source = np.asarray(Image.open(folder / found["origin"]), np.float64)
        assert np.corrcoef(pixels.ravel(), source.ravel())[0, 1] > 0.9


def test_nothing_but_pixels_tells_which_is_which(folders: tuple[Path, Path], tmp_path: Path) -> None:
    study, key, page = made(folders, tmp_path / "study", number=60)
    assert len({len(one["png"]) for one in study["images"]}) == 1
    for one in study["images"]:
        assert re.findall(rb"IHDR|IDAT|IEND|tEXt|tIME|pHYs|iTXt|gAMA", base64.b64decode(one["png"])) == [
            b"IHDR",
            b"IDAT",
            b"IEND",
        ]
        assert set(one) == {"id", "png"}
    for word in ("real00", "made00", *(one["origin"] for one in key["key"]), str(tmp_path)):
        assert word not in page
    order = [{one["id"]: one["made"] for one in key["key"]}[one["id"]] for one in study["images"]]
    assert 15 < np.abs(np.diff(np.array(order, int))).sum() < 45


def test_the_page_needs_nothing_and_asks_for_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, _, page = made(folders, tmp_path / "study", number=4, title="</script><b>& cells")
    assert not re.findall(r"https?:|src=|href=|@import|\{\{", re.sub(r'id="study">.*?</script>', "", page))
    assert "default-src 'none'" in page
    assert "<title>&lt;/script&gt;&lt;b&gt;&amp; cells</title>" in page
    for name in re.findall(r'\bat\("([\w-]+)"\)', SCRIPT.read_text("utf-8")):
        assert f'id="{name}"' in page, name


def test_the_same_seed_makes_the_same_study(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first, second, other = (
        made(folders, tmp_path / name, number=10, seed=seed)[2] for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second != other


def test_label_images_are_shown_from_least_to_greatest(tmp_path: Path) -> None:
    for name in ("real", "made"):
        (tmp_path / name).mkdir()
        for number in range(4):
            labels = np.random.default_rng(number).integers(0, 3, (8, 8), np.uint8)
            labels[0, :3] = 0, 1, 2
            Image.fromarray(labels).save(tmp_path / name / f"{number}.png")
    study, key, _ = made((tmp_path / "real", tmp_path / "made"), tmp_path / "study", number=6)
    assert list(key["contrast"].values()) == [[0.0, 2.0]]
    for one in study["images"]:
        picture = Image.open(io.BytesIO(base64.b64decode(one["png"])))
        assert picture.mode == "L"
        assert set(np.unique(np.asarray(picture)).tolist()) == {0, 128, 255}


def test_a_model_is_shown_among_images_it_has_not_seen(finished: Path, patches: Path, tmp_path: Path) -> None:
    facts = write_study(open_images(patches), load_model(finished / "model"), Panel(number=20), tmp_path / "study")
    assert facts["drawn from"] == "those that the model has not seen"
    key = json.loads((tmp_path / "study" / KEY).read_text())["key"]
    files = np.array(open_images(patches).obs.column("file").to_pylist())
    assert len(set(files[[one["origin"] for one in key if not one["made"]]])) <= 3  # a quarter of 12 files
    many = write_study(open_images(patches), load_model(finished / "model"), Panel(number=90), tmp_path / "many")
    assert many["drawn from"] == "all of them"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"number": 10, "share": 1.0}, "both real and made"),
        ({"number": 400}, "too few real images"),
        ({"number": 70, "share": 0.9}, "cannot be shown among"),
        ({"examples": -1}, "less than nothing"),
        ({"seed": -1}, "less than nothing"),
    ],
)
def test_what_makes_no_study_is_refused(
    keys: dict[str, Any], told: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=told):
        made(folders, tmp_path / "study", **keys)
    assert not (tmp_path / "study").exists()


# its script

DRIVE = """
const { Session } = require(process.argv[1]);
const study = { id: "s", images: [..."abcdefghij"].map((id) => ({ id })) };
let one = Session.begun(study, "Ada", 1000), other = Session.begun(study, "Bob", 1000);
const same = Session.begun(study, "Ada", 5).order;
one = Session.answered(Session.shown(one, 2000), "real", 3500);
one = Session.answered(Session.shown(one, 4000), "generated", 4250);
one = Session.back(one);
one = Session.answered(Session.shown(one, 9000), "real", 10000);
const part = JSON.parse(Session.file(one));
while (Session.current(one)) one = Session.answered(Session.shown(one, 1), "generated", 2);
const whole = JSON.parse(Session.file(one));
console.log(JSON.stringify({ order: one.order, same, other: other.order, part, whole }));
"""


def test_the_script_orders_times_and_writes_what_is_scored(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    done = subprocess.run([node, "-e", DRIVE, str(SCRIPT)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert sorted(found["order"]) == sorted(found["other"]) == list("abcdefghij")
    assert found["order"] == found["same"] != found["other"]
    assert [one["image"] for one in found["part"]["answers"]] == found["order"][:2]
    assert [(one["said"], one["seconds"]) for one in found["part"]["answers"]] == [("real", 1.5), ("real", 6.0)]
    assert (found["part"]["done"], found["whole"]["done"]) == (False, True)
    key = {"study": "s", "title": "t", "key": [{"id": one, "made": one < "f", "origin": 0} for one in "abcdefghij"]}
    (tmp_path / KEY).write_text(json.dumps(key))
    (tmp_path / "ada.json").write_text(json.dumps(found["whole"]))
    told = results(read_answers(tmp_path, [tmp_path / "ada.json"]))
    assert told.facts["answers"] == 10


# answers


def answered(folder: Path, person: str, **rates: float) -> Path:
    """A file of somebody who takes made ones for real, and real ones for made, so often."""
    key = json.loads((folder / KEY).read_text())
    left = {True: round(rates["fooled"] * key["made"]), False: round(rates["doubted"] * (key["number"] - key["made"]))}
    answers = []
    for one in key["key"]:
        wrong = left[one["made"]] > 0
        left[one["made"]] -= 1
        said = "generated" if one["made"] != wrong else "real"
        answers.append({"image": one["id"], "said": said, "seconds": 1.5, "at": "2026-11-21T10:00:00Z"})
    path = folder.parent / f"{person}.json"
    path.write_text(json.dumps({"study": key["study"], "person": person, "done": True, "answers": answers}))
    return path


def test_planted_answers_are_scored(folders: tuple[Path, Path], tmp_path: Path) -> None:
    made(folders, tmp_path / "study", number=100)
    people = {"Ada": (0.3, 0.1), "Bob": (0.3, 0.1), "Cy": (0.5, 0.5)}
    files = [answered(tmp_path / "study", name, fooled=one, doubted=two) for name, (one, two) in people.items()]
    told = results(read_answers(tmp_path / "study", files))
    rows = {row["person"]: row for row in told.facts["people"]}
    assert rows["Ada"] | rows["Bob"] == rows["Bob"]
    assert [rows["Ada"][name] for name in ("answers", "accuracy", "fooled", "doubted")] == [100, 0.8, 0.3, 0.1]
    assert rows["Ada"]["d'"] > 1.5
    assert rows["Cy"]["d'"] == 0
    together = {row["measure"]: row for row in told.facts["together"]}
    assert together["accuracy"]["value"] == pytest.approx(0.7)
    assert together["fooled"]["value"] == pytest.approx(0.3667)
    assert together["accuracy"]["low"] < 0.6 < 0.75 < together["accuracy"]["high"]
    assert told.facts["agreement, kappa"] > 0.3
    images = told.tables["images"].to_pylist()
    assert images[0]["truth"] == "generated"
    assert images[0]["called real"] == images[0]["of"] == 3
    assert [one["truth"] for one in images] == ["generated"] * 50 + ["real"] * 50
    assert len(told.figures["people"]().axes) == 2
    json.dumps(told.facts)


def test_who_has_not_answered_all_is_named_and_one_person_is_no_sample(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    made(folders, tmp_path / "study", number=20)
    path = answered(tmp_path / "study", "Ada", fooled=0.5, doubted=0)
    told = json.loads(path.read_text())
    key = {one["id"]: one["made"] for one in json.loads((tmp_path / "study" / KEY).read_text())["key"]}
    told["answers"] = [one for one in told["answers"] if not key[one["image"]]]
    path.write_text(json.dumps(told))
    found = results(read_answers(tmp_path / "study", [path]))
    assert found.facts["notes"][0].startswith("one person answered")
    assert found.facts["notes"][1] == "Ada answered 10 of 20 images"
    assert found.facts["people"][0]["fooled"] is None
    found.figures["people"]()


def test_answers_that_cannot_be_believed_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    study = tmp_path / "study"
    made(folders, study, number=10)
    path = answered(study, "Ada", fooled=0, doubted=0)
    good = json.loads(path.read_text())

    def read(**changes: Any) -> None:
        path.write_text(json.dumps(good | changes))
        read_answers(study, [path])

    first = good["answers"][0]
    with pytest.raises(DataError, match="another study"):
        read(study="other")
    with pytest.raises(DataError, match="unknown or judged twice"):
        read(answers=[*good["answers"], first])
    with pytest.raises(DataError, match="unknown or judged twice"):
        read(answers=[first | {"image": "nowhere"}])
    with pytest.raises(DataError, match="no file of a study"):
        read(answers=[first | {"said": "perhaps"}])
    with pytest.raises(DataError, match="nobody has answered"):
        read(answers=[])
    path.write_text("{")
    with pytest.raises(DataError, match="no file of a study"):
        read_answers(study, [path])
    with pytest.raises(MissingError, match=r"nobody\.json"):
        read_answers(study, [tmp_path / "nobody.json"])
    path.write_text(json.dumps(good))
    with pytest.raises(RecipeError, match="two files are of 'Ada'"):
        read_answers(study, [path, path])


def test_the_command_line_makes_and_scores(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    command = [
        "study",
        "make",
        "--real",
        *folders[:1],
        "--made",
        *folders[1:],
        "--out",
        study,
        "--number",
        20,
        "--json",
    ]
    assert cli.main([str(word) for word in command]) == 0
    assert json.loads(capsys.readouterr().out)["made"] == 10
    path = answered(study, "Ada", fooled=0.5, doubted=0)
    assert cli.main(["study", "score", str(study), str(path), "--out", str(tmp_path / "told"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["people"][0]["accuracy"] == 0.75
    assert {one.name for one in (tmp_path / "told").iterdir()} == {
        "score.json",
        "images.csv",
        "people.csv",
        "people.png",
    }
