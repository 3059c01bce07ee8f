"""What a recipe means in front of its store: which samples, what is known of them, and where the run lies."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from distgan.config.run_config import AnyRun
from distgan.data.batches import Batches, Chosen, Feed, choose, counted, known_of, open_store, sample_of
from distgan.data.feed import open_feed, some_blocks
from distgan.data.made import MadeFeed
from distgan.data.stored_codes import stored_codes
from distgan.engine.distributed import Group
from distgan.evaluation import Sets
from distgan.method import Sample
from storage.patches import PatchStore
from storage.sampler import Indices


@dataclass(frozen=True)
class Task:
    """A recipe, the samples it means, and the folder of its run."""

    config: AnyRun
    folder: Path
    store: PatchStore
    chosen: Chosen
    sample: Sample

    @classmethod
    def of(cls, config: AnyRun, folder: Path) -> "Task":
        """Open the store and choose.  Raises RecipeError, MissingError, DataError."""
        store = open_store(config.data)
        sample = sample_of(store, config.data, config.method.columns, config.method.labels)
        chosen = choose(store, config.data)
        return cls(config, folder, store, chosen, counted(store, chosen.train, sample))

    def feed(self, group: Group, device: torch.device) -> Batches:
        """The training samples.  Raises RecipeError, DataError: as `open_feed` and `stored_codes`."""
        known = known_of(self.store, self.chosen.train, self.sample, self.config.method.companions)
        if (asked := self.config.method.stored_codes) is not None:
            codes = stored_codes(self.store, self.chosen.train, self.config, asked)
            known = replace(known, columns={**known.columns, asked.column: codes})
        if (made := self.config.data.made) is not None:
            seed, augment = self.config.run.seed, self.config.augment
            return MadeFeed(self.store, self.chosen.train, made, self.sample, seed, device, augment, known)
        return open_feed(self.store, self.chosen.train, self.config, group, device, known)

    def sets(self, feed: Batches) -> Sets:
        """All samples if they are in memory, else some blocks of them.  feed: of the training samples."""
        samples, seed = self.config.evaluate.samples, self.config.run.seed
        resident, mixed = isinstance(feed, Feed), isinstance(feed, MadeFeed)

        def read(rows: Indices) -> Feed | None:
            if len(rows) and not resident:
                rows = some_blocks(self.store, rows, 4 * samples, seed)
            known = known_of(self.store, rows, self.sample)
            return Feed(self.store, rows, seed, feed.device, known=known) if len(rows) else None

        train = feed if isinstance(feed, Feed) and not mixed else read(self.chosen.train)
        assert train is not None, "a run has samples to train on"
        held_out, validation = read(self.chosen.held_out), read(self.chosen.validation)
        evaluate, split = self.config.evaluate, self.config.data.split.by if self.config.data.split else ""
        return Sets(
            train,
            held_out,
            validation,
            self.sample,
            samples,
            seed,
            self.folder,
            evaluate.groups or split,
            split,
            evaluate.detection,
        )
