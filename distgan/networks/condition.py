"""What is known of an image, as numbers beside a vector: class columns one-hot, number columns on a log scale."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOMENTUM = 0.01


class Condition(nn.Module):
    """Vectors N D and columns -> N D + size.

    classes: of each column its class names, none for a column of numbers, as `distgan.method.Sample` has them.
    embedding: units of a dense layer with ReLU that all columns go through together (CytoGAN's code has 16); 0 is none.
    Numbers are taken as sign(x) log(1 + |x|), for doses span orders of magnitude. What they were in training is kept
    as a running mean and square, to draw others like them.
    """

    mean: Tensor
    square: Tensor

    def __init__(self, classes: Mapping[str, tuple[str, ...]], embedding: int) -> None:
        super().__init__()
        self.classes = dict(classes)
        wide = sum(len(names) or 1 for names in self.classes.values())
        self.size = embedding if embedding and wide else wide
        self.dense = nn.Sequential(nn.Linear(wide, embedding), nn.ReLU()) if embedding and wide else nn.Identity()
        self.numbers = [name for name, names in self.classes.items() if not names]
        if self.numbers:
            self.register_buffer("mean", torch.zeros(len(self.numbers)))
            self.register_buffer("square", torch.ones(len(self.numbers)))

    def forward(self, vectors: Tensor, columns: Mapping[str, Tensor]) -> Tensor:
        """vectors: N D.  columns: N each, class numbers or values.  Returns N D + size."""
        if not self.classes:
            return vectors
        if self.numbers and self.training:
            self._follow(columns)
        parts = [
            F.one_hot(columns[name], len(names)).float() if names else _log(columns[name])[:, None]
            for name, names in self.classes.items()
        ]
        return torch.cat([vectors, self.dense(torch.cat(parts, 1))], 1)

    def drawn(self, uniform: Mapping[str, Tensor], normal: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Columns as a set might have them: classes alike often, numbers as they were in training.

        uniform, normal: noise by column, N each.
        """
        found = {}
        for name, names in self.classes.items():
            if names:
                found[name] = (uniform[name] * len(names)).long().clamp(max=len(names) - 1)
            else:
                place = self.numbers.index(name)
                spread = (self.square[place] - self.mean[place].square()).clamp(min=0).sqrt()
                value = self.mean[place] + spread * normal[name]
                found[name] = value.sign() * value.abs().expm1()
        return found

    @torch.no_grad()
    def _follow(self, columns: Mapping[str, Tensor]) -> None:
        values = torch.stack([_log(columns[name]) for name in self.numbers])
        self.mean.lerp_(values.mean(1), MOMENTUM)
        self.square.lerp_(values.square().mean(1), MOMENTUM)


def _log(values: Tensor) -> Tensor:
    return values.sign() * values.abs().log1p()
