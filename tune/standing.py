"""How a search stands, read from its folder alone: from any process, at any time."""

from datetime import timedelta
from typing import Any

from cluster.ownership import is_owned
from distgan.config.search_sections import Tune
from distgan.monitoring.terminal import table
from distgan.monitoring.tracking import Latest
from tune.catalogue import Catalogue, Trial
from tune.preview import seconds_of_trial
from tune.searchers import make_searcher
from tune.space import Space, describe


def best_of(trials: list[Trial], tune: Tune) -> list[Trial]:
    """The trials that no other beats, the best of the first objective first; with one objective, the first is best.

    Of the trials that saw all their images, if there are any: what was stopped early has no model.
    """
    for state in ("finished", "stopped"):
        sign = 1 if tune.directions[0] == "min" else -1
        valued = [(trial, trial.result.values) for trial in trials if trial.result and trial.result.state == state]
        known = [(trial, values) for trial, values in valued if values is not None]
        front = [(trial, own) for trial, own in known if not any(tune.better(other, own) for _, other in known)]
        if front:
            return [trial for trial, _ in sorted(front, key=lambda pair: (sign * pair[1][0], pair[0].number))]
    return []


def standing(catalogue: Catalogue, space: Space) -> dict[str, Any]:
    """All trials so far, the best, and what is left to do."""
    trials, tune = catalogue.trials(), space.tune
    total = make_searcher(space).total
    rows = [row(catalogue, trial, tune) for trial in trials]
    front = best_of(trials, tune)
    over = sum(trial.result is not None for trial in trials)
    return {
        "search": space.name,
        "folder": str(catalogue.folder),
        "running": is_owned(catalogue.folder),
        "ended": over,
        "of": total,
        "images_seen": sum(one["images_seen"] for one in rows),
        "seconds_left": seconds_left(catalogue, space, total),
        "trials": rows,
        "best": next((one for one in rows if front and one["trial"] == front[0].number), None),
        **({"front": [trial.number for trial in front]} if len(tune.objectives) > 1 else {}),
    }


def row(catalogue: Catalogue, trial: Trial, tune: Tune) -> dict[str, Any]:
    """A trial as --json tells it."""
    values = trial.result.values if trial.result else None
    if trial.result is None and (reported := catalogue.reported(trial.number, tune.objectives)):
        values = reported[-1].values
    return {
        "trial": trial.number,
        "state": trial.result.state if trial.result else "unfinished",
        "images_seen": trial.result.images_seen if trial.result else catalogue.cost(trial),
        **{name: values[index] if values else None for index, name in enumerate(tune.objectives)},
        "point": trial.current,
        **({"clones": [one.trial for one in trial.lineage]} if trial.lineage else {}),
        **({"reason": trial.result.reason} if trial.result and trial.result.reason else {}),
    }


def seconds_left(catalogue: Catalogue, space: Space, total: int) -> float | None:
    """By the time that trials take, and how many are running; None if nobody knows yet."""
    facts, began = catalogue.read("warmup.json"), catalogue.search()
    if facts is None or began is None:
        return None
    trials = catalogue.trials()
    going = [trial for trial in trials if trial.result is None]
    rates = [Latest(catalogue.run(trial.number)).read()[1].get("images_per_second") for trial in going]
    known = sorted(rate for rate in rates if rate)
    slower = (1 / known[len(known) // 2]) / facts["seconds_per_image"] if known else 1.0
    undone = (total - len(trials)) + sum(1 - catalogue.cost(trial) / space.images for trial in going)
    left = undone / min(began["slots"], max(undone, 1)) if undone > 0 else 0.0
    return left * slower * seconds_of_trial(space, facts)


def as_table(found: dict[str, Any], objectives: tuple[str, ...]) -> str:
    """The standing for people."""
    rows = [
        {
            "trial": one["trial"],
            "state": one["state"],
            "images": f"{one['images_seen']:,}",
            **{name: "" if one[name] is None else f"{one[name]:.4g}" for name in objectives},
            "point": describe(one["point"]) + (f" (from {one['clones'][-1]})" if "clones" in one else ""),
        }
        for one in found["trials"]
    ]
    return f"{table(rows)}\n{line(found, objectives)}"


def line(found: dict[str, Any], objectives: tuple[str, ...]) -> str:
    """The standing on one line."""
    parts = [f"{found['ended']:,} of {found['of']:,} trials ended", f"{found['images_seen']:,} images"]
    if best := found["best"]:
        parts.append(f"best {objectives[0]} {best[objectives[0]]:.4g} (trial {best['trial']})")
    if found["seconds_left"] and found["ended"] < found["of"]:
        parts.append(f"about {timedelta(seconds=round(found['seconds_left']))} left")
    return ", ".join(parts)
