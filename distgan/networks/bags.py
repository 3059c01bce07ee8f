"""An image as a bag of windows, of which its label says only that one of them shows it (multiple-instance learning)."""

import torch
from torch import Tensor, nn

from distgan.networks.rosette import Critic, initialise


def positions(edge: int, window: int, stride: int) -> list[int]:
    """Where windows begin along an edge, so that the last one ends where it ends.

    >>> positions(128, 32, 40)
    [0, 40, 80, 96]
    """
    found = list(range(0, edge - window + 1, stride))
    return found if found[-1] == edge - window else [*found, edge - window]


def windows(images: Tensor, window: int, stride: int) -> Tensor:
    """images: N C H W.  Returns N B C window window, row by row: every pixel is in one of the B windows at least."""
    rows, columns = (positions(edge, window, stride) for edge in images.shape[-2:])
    parts = [images[..., y : y + window, x : x + window] for y in rows for x in columns]
    return torch.stack(parts, dim=1)


class BagCritic(Critic):
    """The critic of a window, and how much each window counts among those of its image.

    attention_width: of the two gates; 0 is no attention.
    """

    def __init__(self, channels: int, window: int, attention_width: int, **keys: object) -> None:
        super().__init__(channels, window, **keys)  # type: ignore[arg-type]
        if attention_width:
            self.attention = GatedAttention(self.hidden, attention_width)


class GatedAttention(nn.Module):
    """softmax(w' (tanh(V h) * sigmoid(U h))) over the windows of a bag (Ilse et al. 2018, eq. 9)."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.content, self.gate = nn.Linear(features, width), nn.Linear(features, width)
        self.weight = nn.Linear(width, 1, bias=False)
        initialise(self)

    def forward(self, features: Tensor) -> Tensor:
        """features: N B D.  Returns N B, which adds up to 1 over B."""
        return self.weight(self.content(features).tanh() * self.gate(features).sigmoid()).squeeze(2).softmax(1)


def strongest(logits: Tensor, positive: int) -> Tensor:
    """The logits of the window in which the odds of the positive class are greatest.

    logits: N B K.  Returns N K.
    """
    rest = torch.cat([logits[..., :positive], logits[..., positive + 1 :]], dim=2)
    odds = logits[..., positive] - rest.logsumexp(2)
    return logits[torch.arange(len(logits), device=logits.device), odds.argmax(1)]
