"""Names: what is accepted can stand in any path, on any system, and in any registry."""

import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.errors import RecipeError
from storage.names import safe_name

LETTERS = set(string.ascii_letters + string.digits + "._-")
NEAR = st.text(st.sampled_from("aZ09._-/\\ :%\n\0é"), max_size=70)
"""Strings much like names."""


@pytest.mark.parametrize("name", ["a", "9", "rosette_critic", "run-2026.03.01", "A" * 64, "con2", "a..b"])
def test_good_names_are_returned_unchanged(name: str) -> None:
    assert safe_name(name, "the run") == name


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "-a", "a.", "a/b", "a\\b", "a\n", "é", "A" * 65, "con", "NUL"])
def test_bad_names_are_refused_and_said(name: str) -> None:
    with pytest.raises(RecipeError, match="the run cannot be used as a name") as told:
        safe_name(name, "the run")
    assert told.value.found == repr(name)


@pytest.mark.parametrize("name", ["con.txt", "aux.zarr", "com1", "LPT9", "com1.tar"])
def test_devices_of_windows_are_no_names(name: str) -> None:
    with pytest.raises(RecipeError):
        safe_name(name, "the run")


@given(name=st.text() | NEAR)
@example("a" * 64)
def test_what_is_accepted_is_one_component_of_a_path(name: str) -> None:
    try:
        assert safe_name(name, "the run") == name
    except RecipeError:
        return
    assert set(name) <= LETTERS
    assert 1 <= len(name) <= 64
    assert Path("home", name).resolve().parent == Path("home").resolve()
    assert Path(name).parts == (name,)
    assert name[0] not in ".-"
    assert not name.endswith(".")
