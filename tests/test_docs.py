"""The README keeps its word: every block in it is run, in order, as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {kind for kind, _ in BLOCKS} == {"bash", "toml"}


def test_every_file_and_recipe_the_documents_name_exists() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
    for recipe in re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE):
        assert (ROOT / "distgan" / "recipes" / f"{recipe}.toml").exists()


@pytest.mark.cluster
def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    from storage.datasets.synthetic_embryos import write

    (tmp_path / "my_images").mkdir()
    write(tmp_path / "my_images", lambda done, total: None, dates=1, embryos=2, times=2)
    (recipe,) = [text for kind, text in BLOCKS if kind == "toml"]
    # The one change: a thousandth of the images, for these are only to be seen to work.
    shortened = recipe.replace("images = 1_000_000", "images = 1_024")
    assert shortened != recipe
    (tmp_path / "recipe.toml").write_text(shortened)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "DISTGAN_HOME": str(tmp_path / "home")}
    for script in (text for kind, text in BLOCKS if kind == "bash"):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "samples.png").stat().st_size > 10_000
