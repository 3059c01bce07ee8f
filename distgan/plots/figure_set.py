"""A paper's figures from runs of ours: what the file of a paper draws, and the folder that `distgan figures` writes.

OUT/NAME.png, NAME.csv      a figure, and the numbers in it
OUT/figures.json            captions, what they are drawn from with its digest, and what is left out
OUT/README.md, index.html   all of them, to read
"""

import html
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure

from distgan.config.sections import Section
from distgan.model import Model, load_model
from storage.csv_table import as_csv
from storage.datasets import Progress
from storage.durable import staged
from storage.errors import MissingError

DPI = 150
Numbers = Sequence[Mapping[str, Any]]
"""Rows of a table, all with the same keys."""
STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; color: #222 }
img { max-width: 100%; height: auto } figure { margin: 2rem 0 3rem } figcaption { color: #444 }
code { color: #777; font-size: 80% }"""


class FigureSettings(Section):
    """`[figures]`; every paper adds what its figures are drawn from.  paper: one of `distgan.figures`."""

    paper: str


@dataclass(frozen=True)
class Asked:
    """settings: of the paper.  find_model: the address of a model -> its folder.  home: where runs and sweeps are."""

    settings: Any
    find_model: Callable[[str], Path]
    home: Path

    def model(self, address: str) -> Model:
        """Raises MissingError, DataError: as `distgan.model.load_model`."""
        return load_model(self.find_model(address))

    def models(self, addresses: Mapping[str, str]) -> dict[str, Model]:
        """Models by what they are called."""
        return {name: self.model(address) for name, address in addresses.items()}

    def kept(self, kind: Literal["runs", "searches", "sweeps"], name: str) -> Path:
        """A folder, or that of a run, a search or a sweep of ours.  Raises MissingError: there is none."""
        places = Path(name), self.home / kind / name
        for place in places:
            if place.is_dir():
                return place
        raise MissingError(f"there is no {name!r}", f"neither {places[0]} nor {places[1]} is a folder", "Make it first")


@dataclass(frozen=True)
class Drawn:
    """One figure.  name: of its files.  caption: what is shown, and of how many.

    sources: digests of what it is drawn from, by what that is.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    numbers: Numbers
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """A figure that what is named cannot give."""

    title: str
    reason: str


@dataclass(frozen=True)
class Part:
    """What is drawn from the same sources.  needs: keys of the settings, without which it is left out."""

    title: str
    needs: tuple[str, ...]
    draw: Callable[[Asked], Iterator[Drawn | LeftOut]]


def write_set(
    out: Path, heading: str, parts: Sequence[Part], asked: Asked, progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """Draw all parts into a new folder; what figures.json holds.  heading: what the set is of.

    Raises RecipeError: something stands at `out`.  Raises MissingError: what the settings name is not there.
    """
    told: list[dict[str, Any]] = []
    left_out: list[LeftOut] = []
    with staged(out) as partial:
        for number, part in enumerate(parts):
            if unnamed := [f"figures.{key}" for key in part.needs if not getattr(asked.settings, key)]:
                left_out.append(LeftOut(part.title, f"{', '.join(unnamed)} not named"))
            else:
                for one in part.draw(asked):
                    if isinstance(one, LeftOut):
                        left_out.append(one)
                        continue
                    one.figure.savefig(partial / f"{one.name}.png", dpi=DPI)
                    (partial / f"{one.name}.csv").write_bytes(as_csv(_short(one.numbers), list(one.numbers[0])))
                    kept = ("name", "title", "caption", "sources")
                    told.append({key: getattr(one, key) for key in kept} | {"rows": len(one.numbers)})
            progress(number + 1, len(parts))
        found = {"of": heading, "figures": told, "left_out": [vars(one) for one in left_out]}
        (partial / "figures.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        (partial / "README.md").write_text(_markdown(heading, told, left_out), encoding="utf-8")
        (partial / "index.html").write_text(_html(heading, told, left_out), encoding="utf-8")
    return found


def _short(rows: Numbers) -> list[dict[str, Any]]:
    return [{key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()} for row in rows]


def _sources(one: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {digest[:12]}" for name, digest in one["sources"].items())


def _markdown(heading: str, told: Sequence[Mapping[str, Any]], left_out: Sequence[LeftOut]) -> str:
    lines = [f"# {heading}", ""]
    for one in told:
        name = one["name"]
        lines += [f"## {one['title']}", "", f"![{one['title']}]({name}.png)", "", one["caption"], ""]
        lines += [" ".join(filter(None, (f"Numbers: [{name}.csv]({name}.csv).", _sources(one)))), ""]
    if left_out:
        lines += ["## Left out", "", *(f"- {one.title}: {one.reason}" for one in left_out), ""]
    return "\n".join(lines)


def _html(heading: str, told: Sequence[Mapping[str, Any]], left_out: Sequence[LeftOut]) -> str:
    body = [f"<h1>{html.escape(heading)}</h1>"]
    for one in told:
        name, title, caption = (html.escape(one[key]) for key in ("name", "title", "caption"))
        body.append(
            f'<figure id="{name}"><h2>{title}</h2><img src="{name}.png" alt="{title}"><figcaption>{caption} '
            f'<a href="{name}.csv">Numbers</a>. <code>{html.escape(_sources(one))}</code></figcaption></figure>'
        )
    if left_out:
        items = "".join(f"<li>{html.escape(one.title)}: {html.escape(one.reason)}</li>" for one in left_out)
        body.append(f"<h2>Left out</h2><ul>{items}</ul>")
    head = f'<meta charset="utf-8"><title>{html.escape(heading)}</title><style>{STYLE}</style>'
    return "\n".join([f'<!doctype html><html lang="en"><head>{head}</head><body>', *body, "</body></html>", ""])
