"""Whether a run may go on from a checkpoint: is it of this run, its recipe, its samples, and the same numerics?"""

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.data.batches import Batches, Feed
from distgan.data.feed import StreamFeed
from distgan.engine import numerics
from distgan.engine.checkpoint import Snapshot
from storage.errors import DataError
from storage.patches import PatchStore

MAY_CHANGE = (
    *("run.images", "run.workers", "run.virtual_shards", "run.cpus", "run.gpus", "run.log", "run.on_nonfinite"),
    *("run.threads", "run.memory", "run.compile"),  # these may change the last bits; the numerics are compared
    *("data.store", "data.resident"),
    *("checkpoint.", "evaluate.", "watch.", "prepare", "register.", "cluster.", "init."),
    *("tune", "fractions"),
)
"""How the keys begin that a resumed run may have different from its beginning: they do not change the mathematics."""


def changed(then: AnyRun, now: AnyRun) -> str:
    """The other keys that are not as they were, each as `KEY was X and is Y`; the empty string if all are."""
    before, after = then.flat(), now.flat()
    return "; ".join(
        f"{key} was {before.get(key)!r} and is {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.startswith(MAY_CHANGE)
    )


def check_same_run(
    snapshot: Snapshot, config: AnyRun, store: PatchStore, feed: Batches, *, strict: bool, other_recipe: bool = False
) -> None:
    """Raise DataError where the checkpoint is of another run, store, order or recipe.

    Other numerics are told, or refused too if `strict`.  other_recipe: another one is what is wanted.
    """
    facts, path = snapshot.facts, snapshot.path
    found, wanted = facts["patch_store"], store.digest
    if found != wanted:
        raise DataError(
            f"{path} was trained on another store",
            f"its patches were {found[:12]}..., and {store.path} is {wanted[:12]}...",
            "Give the store it began with, or begin again under another run.name",
        )
    order = facts.get("order", Feed.order_name)
    if order != feed.order_name:
        raise DataError(
            f"{path} has seen its samples in another order",
            f"it was of {order}, and here it would be of {feed.order_name}",
            f'Set data.resident = "{"stream" if order == StreamFeed.order_name else "memory"}"',
        )
    if not other_recipe and (difference := changed(config_from_tables(facts["recipe"], str(path)), config)):
        raise DataError(
            f"{path} is of another recipe",
            difference,
            "Give the recipe it began with, or begin again under another run.name",
        )
    numerics.check(path, facts.get("numerics", {}), numerics.fingerprint(config, feed.device), strict=strict)
