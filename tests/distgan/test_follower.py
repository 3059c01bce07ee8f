"""Lines of a file that grows are read once, and anew when the file is another."""

from pathlib import Path

import pytest

from distgan.monitoring.follower import Follower


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines"


def test_nothing_is_read_of_a_file_that_is_not_there_yet(path: Path) -> None:
    follower = Follower(path, old=False)
    assert follower.read() == (False, [])
    path.write_text("first\n")
    assert follower.read() == (True, ["first"]), "it came later, so it is new"


def test_what_was_there_is_read_where_it_is_wanted(path: Path) -> None:
    path.write_text("old\n")
    all_of_it, new = Follower(path), Follower(path, old=False)
    with path.open("a") as file:
        file.write("new\n")
    assert all_of_it.read() == (True, ["old", "new"])
    assert new.read() == (False, ["new"])
    assert new.read() == (False, [])


def test_a_line_that_is_being_written_is_left_for_the_next_time(path: Path) -> None:
    follower = Follower(path)
    with path.open("w") as file:
        for text, lines in (("one\ntw", ["one"]), ("o", []), ("\n\u2028µ\n", ["two", "\u2028µ"])):
            file.write(text)
            file.flush()
            assert follower.read()[1] == lines


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_was_replaced_or_cut_is_read_from_its_beginning(path: Path, replaced: bool) -> None:
    follower = Follower(path)
    path.write_text("one\ntwo\n")
    follower.read()
    if replaced:
        other = path.with_suffix(".other")
        other.write_text("one\ntwo\nthree\n")
        other.replace(path)
    else:
        path.write_text("one\n")
    assert follower.read() == (True, ["one", "two", "three"] if replaced else ["one"])
