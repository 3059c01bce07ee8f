"""What is found by the name of its file."""

from types import ModuleType

import pytest

from storage.errors import RecipeError
from storage.plugins import load_plugin, only_class, plugin_names

PACKAGE = "storage.datasets"


def test_the_files_of_a_package_are_listed_and_loaded() -> None:
    names = plugin_names(PACKAGE)
    assert names == sorted(names)
    assert "rosettes" in names
    assert load_plugin(PACKAGE, "rosettes", RuntimeError).__name__ == f"{PACKAGE}.rosettes"  # type: ignore[arg-type]


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(RecipeError, match="bbbc021, bbbc021_cells"):
        load_plugin(PACKAGE, "nothing", lambda known: RecipeError("none", known, "choose"))


def test_a_module_defines_one_class_of_its_kind_and_imported_ones_do_not_count() -> None:
    module, own = ModuleType("here"), type("Own", (ModuleType,), {"__module__": "here"})
    module.__dict__.update(Own=own, ModuleType=ModuleType)
    assert only_class(module, ModuleType) is own
    module.__dict__["Other"] = type("Other", (ModuleType,), {"__module__": "here"})
    with pytest.raises(AssertionError, match="must define one module, it defines 2"):
        only_class(module, ModuleType)
