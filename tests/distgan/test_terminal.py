"""What people see of long work: tables, and lines now and then where stderr is no terminal."""

import pytest

from distgan import terminal


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
