"""One turn: its loss on every virtual shard of a batch, and the mean of what the shards found. Nothing moves here."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from distgan.engine.distributed import ShardMean
from distgan.engine.memory_format import flat, unflat
from distgan.method import Method, Step, Term, Turn

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Found:
    """What a turn found: means over the shards, the same bits on every rank.

    gradients: by parameter.  buffers: what the method's buffers become.  terms: scalars.  states: what the losses
    made of the state of this rank's shards.  finite: a boolean on the device, whether all those means are.
    """

    gradients: dict[nn.Parameter, Tensor]
    buffers: dict[Tensor, Tensor]
    terms: dict[str, Tensor]
    states: dict[int, dict[str, Tensor]]
    finite: Tensor


class Passes:
    """The forward and backward passes of a method's turns.

    precision: in which a loss is computed; weights, gradients and their means are float32. In bfloat16 torch's
    autocast says which operations are, and casts of weights are not kept, since what is kept under `no_grad` has no
    gradient.
    """

    def __init__(self, method: Method, mean: ShardMean, precision: Precision) -> None:
        self.method = method
        self.mean = mean
        self.precision = precision
        self.floats = [buffer for buffer in method.buffers() if buffer.is_floating_point()]
        self.counts = [buffer for buffer in method.buffers() if not buffer.is_floating_point()]

    def __call__(self, turn: Turn, step_of: Callable[[int], Step]) -> Found:
        """Every shard begins with the buffers as they are; running statistics move by the mean of what each moved them.

        step_of: what a shard may know.
        """
        parameters = list(self.method.parameters_of(turn.networks))
        buffers = self.floats + self.counts
        before = [buffer.clone() for buffer in buffers]
        names: list[str] = []
        states: dict[int, dict[str, Tensor]] = {}

        def row(shard: int) -> Tensor:
            copy(before, buffers)
            step = step_of(shard)
            with self._cast(step):
                terms = turn.loss(step)
            names[:], states[shard] = terms, step.state
            gradients = self._gradients(turn, parameters, terms)
            moved = [buffer - old for buffer, old in zip(self.floats, before, strict=False)]
            values = [_value(term).detach() for term in terms.values()]
            of_weights = [flat(gradient, p) for p, gradient in zip(parameters, gradients, strict=True)]
            return torch.cat([*of_weights, *(part.reshape(-1) for part in (*moved, *values))])

        with _frozen(self.method, parameters):
            mean = self.mean(row)
        parts = iter(mean.split([p.numel() for p in (*parameters, *self.floats)] + [1] * len(names)))
        gradients = {p: unflat(next(parts), p) for p in parameters}
        after = [old + next(parts).view_as(old) for old in before[: len(self.floats)]]
        after += [count.clone() for count in self.counts]
        copy(before, buffers)
        terms = {name: next(parts)[0].clone() for name in names}  # they outlive the row
        return Found(gradients, dict(zip(buffers, after, strict=True)), terms, states, _finite(mean))

    def fault(self, found: Found) -> str:
        """The first term, gradient or running statistic that is not a finite number, for people."""
        names = {id(value): name for name, value in (*self.method.named_parameters(), *self.method.named_buffers())}
        values = {f"the term {name}": value for name, value in found.terms.items()}
        values |= {f"the gradient of {names[id(p)]}": value for p, value in found.gradients.items()}
        values |= {names[id(buffer)]: value for buffer, value in found.buffers.items()}
        return next(name for name, value in values.items() if not torch.isfinite(value).all())

    def _cast(self, step: Step) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(step.batch.images.device.type, torch.bfloat16, cache_enabled=False)

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


@torch.no_grad()
def copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    """Give each target the numbers of its source."""
    if targets:
        torch._foreach_copy_(targets, sources)


@contextmanager
def _frozen(method: Method, moving: list[nn.Parameter]) -> Iterator[None]:
    """No parameter but these has a gradient meanwhile."""
    kept = {id(parameter) for parameter in moving}
    others = [p for p in method.parameters() if p.requires_grad and id(p) not in kept]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


def _value(term: Tensor | Term) -> Tensor:
    return (term.value if isinstance(term, Term) else term).float()


def _finite(row: Tensor) -> Tensor:
    """One pass over the row: nought times what is not finite is not a number."""
    return row.mul(0).sum() == 0
