"""What people see of long work: tables, and lines now and then where stderr is no terminal."""

import pytest

from distgan.monitoring import terminal


def test_columns_are_as_wide_as_they_must_be() -> None:
    found = terminal.table([{"name": "a", "size": 10}, {"name": "longer", "size": 7}])
    assert found.splitlines() == ["name    size", "a       10", "longer  7"]


def test_a_table_without_rows_says_so() -> None:
    assert terminal.table([]) == "(none)"


def test_short_work_says_nothing_and_long_work_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    with terminal.progress_bar("reading") as progress:
        for done, seconds in enumerate((1, 5, 6, 1, 30)):
            clock[0] += seconds
            progress(done, 4000)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["reading: 2 of 4,000", "reading: 4 of 4,000"]


# reports


def test_a_report_has_a_line_for_each_fact_and_tables_for_lists() -> None:
    facts = {
        "kind": "patch store",
        "samples": 11250,
        "shape": [11250, 1, 32, 32],
        "pixel_um": [None, 0.25],
        "mean": 0.1234567,
        "whole": True,
        "labels": [],
        "subset": None,
        "cut": {"kind": "tiled", "size": [8, 8], "operations": [{"name": "median", "size": 3}, {"name": "mask"}]},
        "columns": [{"column": "well", "counts": {"A1": 2000, "A2": 7}}, {"column": "x", "counts": {}}],
    }
    assert terminal.report(facts).splitlines() == [
        "kind: patch store",
        "samples: 11,250",
        "shape: 11250, 1, 32, 32",
        "pixel_um: ?, 0.25",
        "mean: 0.123457",
        "whole: True",
        "cut:",
        "  kind: tiled",
        "  size: 8, 8",
        "  operations:",
        "    name: median, size: 3",
        "    name: mask",
        "columns:",
        "  column  counts",
        "  well    A1 (2,000), A2 (7)",
        "  x",
    ]


def test_long_tables_and_values_are_cut_and_told() -> None:
    rows = [{"array": f"{index}/0", "wells": ["A01"] * 100} for index in range(1000)]
    lines = terminal.report({"arrays": rows}).splitlines()
    assert len(lines) == 2 + terminal.ROWS + 1
    assert lines[-1] == "  ... and 976 more"
    assert all(len(line) < terminal.WIDEST + 20 for line in lines)
    assert lines[2].endswith(" ...")


def test_names_from_files_cannot_move_the_cursor() -> None:
    evil = "a\x1b[2J\r\nb"
    assert "\x1b" not in (
        told := terminal.report({evil: evil, "rows": [{"name": evil}], "more": {evil: {evil: [evil]}}})
    )
    assert len(told.splitlines()) == 7
    assert terminal.table([{"name": evil}]) == "name\na?[2J??b"


# training


METRICS = {"images_per_second": 1234.4, "loss/distance": -3.25, "kid": 0.0125}


def test_a_line_of_a_run_says_what_is_known_and_no_more() -> None:
    assert terminal.training_line(0, 96_000, {}, 0, None) == "0 of 96,000 images"
    assert terminal.training_line(0, 96_000, {}, 0, None, "evaluates") == "0 of 96,000 images, evaluates"
    assert terminal.training_line(12_800, 96_000, METRICS, 9600, 67.4) == (
        "12,800 of 96,000 images, 1,234 images/s, 0:01:07 left, distance -3.25, KID 0.0125, checkpoint at 9,600"
    )
    system = {"system/memory_mib": 512.2, "system/gpu_memory_mib": 12_288.0, "system/gpu_use": 0.87}
    assert terminal.training_line(1, 2, system, 0, None).endswith("512 MiB, GPU 12,288 MiB, GPU 87% busy")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def test_lines_come_ever_more_rarely(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    with terminal.training_progress("demo", 10**6) as show:
        for second in range(20_000):
            clock[0] = 100 + second / 2
            show(second, {}, 0, "")
            told += [second / 2] * len(capsys.readouterr().err.splitlines())
    pauses = [after - before for before, after in zip([0, *told], told, strict=False)]
    assert pauses[0] == 10
    assert pauses == sorted(pauses)
    assert pauses[-1] == terminal.RAREST_LINE_SECONDS


def test_the_time_left_is_that_of_what_was_done_here(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """A resumed run begins with images that took no time, and lost ones are counted again."""
    with terminal.training_progress("demo", 1000) as show:
        for seen, seconds in ((0, 100), (500, 100), (600, 100), (600, 100), (550, 100), (650, 100)):
            clock[0] += seconds
            show(seen, {}, 0, "")
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "demo: 0 of 1,000 images",
        "demo: 500 of 1,000 images",
        "demo: 600 of 1,000 images, 0:06:40 left",
        "demo: 600 of 1,000 images, 0:06:40 left",
        "demo: 550 of 1,000 images, 0:45:00 left",
        "demo: 650 of 1,000 images, 0:15:33 left",
    ]


def test_a_finding_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.training_progress("demo", 1000) as show:
        for value in (0.0, 1.0, 1.0, 0.0, 1.0):
            show(500, {"watch/collapse": value}, 0, "")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"collapse at 500 images: {terminal.MEANING['collapse']}"


def test_on_a_terminal_it_is_one_line_however_narrow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    with terminal.training_progress("demo [x]", 1000) as show:
        for seen in (100, 500, 1000):
            show(seen, METRICS, 0, "")
    (line,) = filter(None, capsys.readouterr().err.splitlines())
    assert line.startswith("demo [x] ")
    assert "1,000 of 1,000" in line
    assert line.endswith("…")
    assert len(line) <= 80
