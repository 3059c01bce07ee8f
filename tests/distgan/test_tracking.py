"""The record of a run in its folder: durable, and without ghosts after a rewind."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from distgan.monitoring.tracking import LINES, JsonlTracker, Latest, final_metrics, read_lines


@pytest.fixture
def tracker(tmp_path: Path) -> JsonlTracker:
    made = JsonlTracker(tmp_path / "run")
    for images_seen in (0, 16, 32, 48):
        made.metrics({"loss": images_seen / 10}, images_seen)
    return made


def seen(folder: Path) -> list[int]:
    return [line["images_seen"] for line in read_lines(folder)]


def test_lines_are_read_in_the_order_in_which_they_were_said(tracker: JsonlTracker) -> None:
    lines = list(read_lines(tracker.folder))
    assert [(line["images_seen"], line["metrics"]) for line in lines] == [
        (0, {"loss": 0.0}),
        (16, {"loss": 1.6}),
        (32, {"loss": 3.2}),
        (48, {"loss": 4.8}),
    ]


@pytest.mark.parametrize(("to", "kept"), [(-1, []), (0, [0]), (31, [0, 16]), (32, [0, 16, 32]), (99, [0, 16, 32, 48])])
def test_a_rewind_forgets_what_lies_beyond(tracker: JsonlTracker, to: int, kept: list[int]) -> None:
    before = list(read_lines(tracker.folder))
    tracker.rewind(to)
    assert seen(tracker.folder) == kept
    assert list(read_lines(tracker.folder)) == before[: len(kept)]
    tracker.metrics({"loss": 1.0}, 200)
    assert seen(tracker.folder) == [*kept, 200]


def test_figures_are_forgotten_with_their_lines_and_written_again(tracker: JsonlTracker) -> None:
    tracker.figure("samples", Figure(), 64)
    tracker.rewind(48)
    assert not any("artifact" in line for line in read_lines(tracker.folder))
    tracker.figure("samples", Figure(), 64)
    (line,) = [line for line in read_lines(tracker.folder) if "artifact" in line]
    assert (tracker.folder / line["artifact"]).is_file()


@pytest.mark.parametrize("half", ['{"images_seen": 64, "met', '{"images_seen": 64, "metrics": {}}', "", "{"])
def test_a_last_line_that_was_only_half_written_is_left_out(tracker: JsonlTracker, half: str) -> None:
    with tracker.path.open("a") as file:
        file.write(half)
    assert seen(tracker.folder) == [0, 16, 32, 48]
    again = JsonlTracker(tracker.folder)
    again.rewind(48)
    again.metrics({"loss": 0.0}, 64)
    assert seen(tracker.folder) == [0, 16, 32, 48, 64]


def test_a_second_tracker_goes_on_where_the_first_was(tracker: JsonlTracker) -> None:
    JsonlTracker(tracker.folder).metrics({"loss": 0.0}, 64)
    assert seen(tracker.folder) == [0, 16, 32, 48, 64]


def test_what_was_said_is_on_the_disk_after_a_flush(tracker: JsonlTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker.figure("samples", Figure(), 48)
    synced: list[str] = []
    monkeypatch.setattr("distgan.monitoring.tracking.sync", lambda path: synced.append(path.name))
    tracker.flush()
    assert sorted(synced) == [LINES, "samples-000000000048.png"]


def test_a_folder_without_a_run_has_no_lines(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path)) == []


def test_settings_are_written_by_dotted_key(tracker: JsonlTracker) -> None:
    tracker.params({"run.name": "tiny", "optimizer.critic.betas": [0.0, 0.9]})
    assert json.loads((tracker.folder / "params.json").read_text()) == {
        "run.name": "tiny",
        "optimizer.critic.betas": [0.0, 0.9],
    }


# following a run


def test_who_follows_a_run_reads_each_line_once(tracker: JsonlTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    latest = Latest(tracker.folder)
    assert latest.read() == (48, {"loss": 4.8})
    read = []
    monkeypatch.setattr(
        "distgan.monitoring.tracking.json.loads", lambda line: read.append(line) or json.JSONDecoder().decode(line)
    )
    assert latest.read() == (48, {"loss": 4.8})
    tracker.metrics({"kid": 0.5}, 64)
    tracker.metrics({"loss": 1.0}, 64)
    assert latest.read() == (64, {"loss": 1.0, "kid": 0.5})
    assert len(read) == 2


def test_a_line_is_waited_for_until_it_is_whole(tracker: JsonlTracker) -> None:
    latest = Latest(tracker.folder)
    latest.read()
    with tracker.path.open("a") as file:
        file.write('{"images_seen": 64, ')
        file.flush()
        assert latest.read() == (48, {"loss": 4.8})
        file.write('"metrics": {"loss": 7.5}}\n')
    assert latest.read() == (64, {"loss": 7.5})


def test_who_follows_a_run_follows_it_back(tracker: JsonlTracker) -> None:
    latest = Latest(tracker.folder)
    tracker.metrics({"kid": 0.5}, 64)
    latest.read()
    tracker.rewind(16)
    assert latest.read() == (16, {"loss": 1.6})
    tracker.metrics({"kid": 0.5}, 32)
    latest.read()
    tracker.rewind(16)
    for images_seen in range(32, 320, 16):  # longer than it ever was, before anybody looks
        tracker.metrics({"loss": 0.5}, images_seen)
    assert latest.read() == (304, {"loss": 0.5})


def test_a_run_that_has_not_begun_is_at_its_beginning(tmp_path: Path) -> None:
    assert Latest(tmp_path).read() == (0, {})
    assert final_metrics(tmp_path) == {}


def test_what_was_read_is_not_changed_by_who_reads_it(tracker: JsonlTracker) -> None:
    latest = Latest(tracker.folder)
    latest.read()[1].clear()
    assert latest.read()[1] == final_metrics(tracker.folder) == {"loss": 4.8}
