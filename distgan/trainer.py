"""The training loop. One loop for every method; it knows neither Ray nor MLflow.

It asks the method for turns and the feed for batches, and calls its observer after every step. A
batch is V virtual shards; each is a forward and backward pass of its own, and what is applied is their
mean. Normalisation is over a shard, and running statistics move by the mean of what each shard moved them.
"""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from distgan.config import AnyRun
from distgan.data import Batches
from distgan.distributed import Group, ShardMean
from distgan.method import Method, Step, Term, Turn
from distgan.optimizers import make_optimizer, rate_factor
from distgan.state import State, collect, digest, restore

Observer = Callable[["Trainer", Mapping[str, Tensor]], bool]
"""Called after each step with the averaged terms; says whether to go on."""


class Trainer:
    """A method in training: its weights, their average, its optimizers, and how far it is."""

    def __init__(self, config: AnyRun, method: Method, feed: Batches, group: Group) -> None:
        self.config = config
        self.method = method
        self.feed = feed
        self.group = group
        self.average = copy.deepcopy(method)
        self.average.eval().requires_grad_(False)
        self.optimizers = {
            name: make_optimizer(config.optimizer[name], method.network(name)) for name in method.networks
        }
        self.mean = ShardMean(group, config.run.virtual_shards, config.run.reduction)
        self.turns = method.turns()
        self.floats = [buffer for buffer in method.buffers() if buffer.is_floating_point()]
        self.counts = [buffer for buffer in method.buffers() if not buffer.is_floating_point()]
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
        while not self.done:
            terms = self.step()
            if not observe(self, terms):
                return

    def step(self) -> dict[str, Tensor]:
        """One batch: every turn that is due, in order. Returns the averaged terms."""
        terms: dict[str, Tensor] = {}
        batch_number = self.steps + 1
        for turn in self.turns:
            if batch_number % turn.every == 0:
                for repeat in range(turn.times):
                    terms |= self.take(turn, repeat)
        self.method.after_step(terms)
        self.steps = batch_number
        self._update_average()
        return terms

    def take(self, turn: Turn, repeat: int) -> dict[str, Tensor]:
        """One turn: the mean gradient over all shards, and one step of the turn's optimizers."""
        parameters = list(self.method.parameters_of(turn.networks))
        moving = {id(parameter) for parameter in parameters}
        frozen = [p for p in self.method.parameters() if p.requires_grad and id(p) not in moving]
        before = [buffer.clone() for buffer in self.floats]
        counts = [buffer.clone() for buffer in self.counts]
        names: list[str] = []

        def row(shard: int) -> Tensor:
            _copy(before + counts, self.floats + self.counts)
            terms = turn.loss(self._shard(shard, repeat))
            names[:] = terms
            gradients = self._gradients(turn, parameters, terms)
            moved = [buffer - old for buffer, old in zip(self.floats, before, strict=True)]
            values = [_value(term).detach() for term in terms.values()]
            return torch.cat([part.reshape(-1) for part in (*gradients, *moved, *values)])

        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            parts = iter(self.mean(row).split([p.numel() for p in (*parameters, *self.floats)] + [1] * len(names)))
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)
        for parameter in parameters:
            parameter.grad = next(parts).view_as(parameter)
        _copy([old + next(parts).view_as(old) for old in before], self.floats)
        for name in turn.networks:
            self._set_rate(name)
            self.optimizers[name].step()
            self.optimizers[name].zero_grad()
        return {name: next(parts)[0] for name in names}

    def _shard(self, shard: int, repeat: int) -> Step:
        size = self.config.shard_size
        batch = self.feed.batch(self.images_seen + shard * size, size)
        return Step(batch, self.images_seen, shard, repeat, self.config.run.seed)

    def _gradients(
        self, turn: Turn, parameters: list[nn.Parameter], terms: Mapping[str, Tensor | Term]
    ) -> list[Tensor]:
        """The gradient of each parameter; a term's own goes only into the networks it names."""
        groups: dict[tuple[str, ...], list[Tensor]] = {}
        for term in terms.values():
            into = term.into if isinstance(term, Term) else None
            groups.setdefault(into or turn.networks, []).append(_value(term))
        total: dict[int, Tensor] = {}
        for networks, values in groups.items():
            own = list(self.method.parameters_of(networks))
            last = values is list(groups.values())[-1]
            found = torch.autograd.grad(
                torch.stack(values).sum(), own, retain_graph=not last, allow_unused=True, materialize_grads=True
            )
            for parameter, gradient in zip(own, found, strict=True):
                before = total.get(id(parameter))
                total[id(parameter)] = gradient if before is None else before + gradient
        return [total[id(p)] if id(p) in total else torch.zeros_like(p) for p in parameters]

    def _set_rate(self, network: str) -> None:
        config = self.config.optimizer[network]
        rate = config.lr * rate_factor(config, self.images_seen, self.config.run.images)
        for group in self.optimizers[network].param_groups:
            group["lr"] = rate

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential average of weights and running statistics; it begins as a plain mean of few steps."""
        images = self.images_seen
        half_life = min(self.config.ema.half_life_images, max(images // 10, 1))
        keep = 0.5 ** (self.config.run.batch_size / half_life)
        for name in self.method.averaged:
            now, then = self.method.network(name).state_dict(), self.average.network(name).state_dict()
            for key, value in then.items():
                value.lerp_(now[key], 1 - keep) if value.is_floating_point() else value.copy_(now[key])

    def collect(self) -> State:
        """Every tensor of the state."""
        return collect(self._modules(), self._owned_optimizers())

    def restore(self, state: State, steps: int) -> None:
        """Put a collected state back and go on from there."""
        restore(state, self._modules(), self._owned_optimizers())
        self.steps = steps

    def counters(self) -> dict[str, int]:
        """The numbers of the state that are no tensors."""
        return {"images_seen": self.images_seen, "steps": self.steps}

    def digest(self) -> str:
        """Equal on every worker, for every number of workers, after any number of restarts."""
        return digest(self.collect(), self.counters())

    def _modules(self) -> dict[str, nn.Module]:
        averages = {f"average.{name}": self.average.network(name) for name in self.method.averaged}
        return {"method": self.method, **averages}

    def _owned_optimizers(self) -> dict[str, tuple[nn.Module, torch.optim.Optimizer]]:
        return {name: (self.method.network(name), one) for name, one in self.optimizers.items()}


def _value(term: Tensor | Term) -> Tensor:
    return term.value if isinstance(term, Term) else term


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
