"""The training loop. One loop for every method; it knows neither Ray nor MLflow.

It asks the method for turns and the feed for batches, and calls its observer after every step. A
batch is V virtual shards; each is a forward and backward pass of its own, and what is applied is their
mean. Normalisation is over a shard, and running statistics move by the mean of what each shard moved them.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from distgan.config.run_config import AnyRun
from distgan.data.batches import Batches
from distgan.engine.distributed import Group, ShardMean
from distgan.engine.memory_format import put_channels_last
from distgan.engine.nonfinite import Judge
from distgan.engine.optimizers import make_optimizer, rate_factor
from distgan.engine.shards import ShardStates
from distgan.engine.state import State, checksum, collect, digest, restore
from distgan.engine.turns import Passes, copy
from distgan.method import Method, Step, Turn
from storage.errors import InternalError

Observer = Callable[["Trainer", Mapping[str, Tensor]], bool]
"""Called after each step with the averaged terms, each as it was last found; says whether to go on."""


class Trainer:
    """A method in training: its weights, their average, its optimizers, and how far it is."""

    def __init__(self, config: AnyRun, method: Method, feed: Batches, group: Group) -> None:
        self.config = config
        self.method = method
        self.feed = feed
        self.group = group
        if config.run.memory_format == "channels_last":
            put_channels_last(method)
        self.average = deepcopy(method)
        self.average.eval().requires_grad_(False)
        self.optimizers = {
            name: make_optimizer(config.optimizer[name], method.network(name), partial(method.rate, name))
            for name in method.networks
        }
        self.mean = ShardMean(group, config.run.virtual_shards, config.run.reduction)
        self.shards = ShardStates(method.shard_state(), group, config.run.virtual_shards, feed.device)
        self.passes = Passes(method, self.mean, config.run.precision)
        self.turns = method.turns()
        if config.run.compile != "off":
            from distgan.engine.compilation import compiled  # here, for it takes torch a second

            self.turns = compiled(self.turns)
        self.judge = Judge(config.run.on_nonfinite, self.turns, feed.device)
        self.gradient_norms: dict[str, Tensor] = {}
        self.steps = 0

    @property
    def images_seen(self) -> int:
        """Real images of all completed steps."""
        return self.steps * self.config.run.batch_size

    @property
    def done(self) -> bool:
        """Whether the run has seen all its images."""
        return self.images_seen >= self.config.run.images

    def fit(self, observe: Observer) -> None:
        """Train until the run is done or the observer says stop."""
        terms: dict[str, Tensor] = {}
        cold = 2 * max(turn.every for turn in self.turns)  # steps until every turn was taken, and is compiled
        while not self.done:
            with self.group.activity.step(hurried=cold <= 0):
                terms = terms | self.step()
            cold -= 1
            if not observe(self, terms):
                return

    def step(self) -> dict[str, Tensor]:
        """One batch: every turn that is due, in order. Returns the averaged terms."""
        terms: dict[str, Tensor] = {}
        batch_number, skipped = self.steps + 1, self.judge.skipped
        for turn in self.turns:
            if batch_number % turn.every == 0:
                for repeat in range(turn.times):
                    terms |= self.take(turn, repeat)
        if self.judge.skipped == skipped:
            self.method.after_step(terms)
        self.steps = batch_number
        self._update_average()
        return terms

    def take(self, turn: Turn, repeat: int) -> dict[str, Tensor]:
        """One turn: the mean over all shards, and one step of the turn's optimizers; nothing, if it is skipped.

        Raises NonFinite: the mean is not finite, and the run shall not go on.
        """
        self.group.activity.turn = turn.name
        found = self.passes(turn, partial(self._shard, repeat=repeat))
        if not self.judge.accepts(turn, found, self.passes, self.images_seen):
            return {}
        self.shards.replace(found.states)
        copy(list(found.buffers.values()), list(found.buffers))
        for parameter, gradient in found.gradients.items():
            parameter.grad = gradient
        self.gradient_norms[turn.name] = nn.utils.get_total_norm(found.gradients.values())
        for name in turn.networks:
            self._set_rate(name)
            self.optimizers[name].step()
            self.optimizers[name].zero_grad()
        self.method.after_turn(turn.name)
        return found.terms

    def _shard(self, shard: int, repeat: int) -> Step:
        size, state = self.config.shard_size, dict(self.shards.own[shard])
        batch = self.feed.batch(self.images_seen + shard * size, size)
        return Step(batch, self.images_seen, shard, repeat, self.config.run.seed, state, self.steps)

    def _set_rate(self, network: str) -> None:
        config = self.config.optimizer[network]
        rate = config.lr * rate_factor(config, self.images_seen, self.config.run.images)
        for group in self.optimizers[network].param_groups:
            group["lr"] = rate * group["factor"]

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential average of weights and running statistics; it begins as a plain mean of few steps."""
        images = self.images_seen
        half_life = min(self.config.ema.half_life_images, max(images // 10, 1))
        keep = 0.5 ** (self.config.run.batch_size / half_life) if half_life else 0.0
        for name in self.method.averaged:
            now, then = self.method.network(name).state_dict(), self.average.network(name).state_dict()
            floats = [key for key, value in then.items() if value.is_floating_point()]
            others = [key for key in then if key not in floats]
            torch._foreach_lerp_([then[key] for key in floats], [now[key] for key in floats], 1 - keep)
            copy([now[key] for key in others], [then[key] for key in others])

    def current(self) -> Method:
        """The averages of the networks that have one, and the others as they are now; not to be trained."""
        for name in set(self.method.networks) - set(self.method.averaged):
            self.average.network(name).load_state_dict(self.method.network(name).state_dict())
        return self.average

    def collect(self) -> State:
        """Every tensor of the state, on every rank; every rank must call it."""
        return collect(self._modules(), self._owned_optimizers()) | self.shards.collect()

    def collect_on_first(self, into: State | None = None) -> State | None:
        """The same on the first rank, and None on the others; every rank must call it.

        into: a state collected before and no longer needed, whose memory is used again.
        Raises InternalError: the ranks have come apart.
        """
        self.check_ranks()
        shards = self.shards.collect()
        return collect(self._modules(), self._owned_optimizers(), into) | shards if self.group.leads else None

    def restore(self, state: State, steps: int, skipped: int = 0) -> None:
        """Put a collected state back and go on from there."""
        restore(state, self._modules(), self._owned_optimizers())
        self.shards.restore(state)
        self.steps, self.judge.skipped = steps, skipped

    def check_ranks(self) -> None:
        """See that what is the same on all ranks is; every rank must call it.

        Raises InternalError: it is not; the message names the ranks.
        """
        own = checksum(self._modules(), self._owned_optimizers(), self.feed.device)
        found = torch.stack(self.group.gather(own)).tolist()
        apart = [str(rank) for rank, one in enumerate(found) if one != found[0]]
        if apart:
            raise InternalError(
                "the workers no longer train the same networks",
                f"the weights of rank {', '.join(apart)} are not those of rank 0 after {self.images_seen:,} images",
                "Go on from the last checkpoint by --resume; if it happens again, suspect the memory of that machine",
            )

    def counters(self) -> dict[str, int]:
        """The numbers of the state that are no tensors."""
        skipped = {"skipped": self.judge.skipped} if self.judge.skipped else {}
        return {"images_seen": self.images_seen, "steps": self.steps, **skipped}

    def digest(self) -> str:
        """Equal on every worker, for every number of workers, after any number of restarts."""
        return digest(self.collect(), self.counters())

    def _modules(self) -> dict[str, nn.Module]:
        averages = {f"average.{name}": self.average.network(name) for name in self.method.averaged}
        return {"method": self.method, **averages}

    def _owned_optimizers(self) -> dict[str, tuple[nn.Module, torch.optim.Optimizer]]:
        return {name: (self.method.network(name), one) for name, one in self.optimizers.items()}
