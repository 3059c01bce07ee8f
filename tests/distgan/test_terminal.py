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
