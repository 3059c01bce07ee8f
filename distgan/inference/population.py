"""Instance normalisation by the statistics of a population, so that what a network makes does not depend on where an
image ends.

A network that normalises each image by itself would make every tile of a large one a little brighter or darker than
its neighbours, and a seam between them. Here all images of some batches are normalised together, once, and what their
means and variances were is what every image is normalised by from then on, as batch normalisation does in use.
"""

import copy
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distgan.method import Method, Step


class PopulationNorm(nn.Module):
    """Stands where an instance normalisation was. A network may use it some times; each time has its statistics.

    moments: of each time, mean and variance of each feature map, 2 C.
    """

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.norm = norm
        self.learning = True
        self.calls = 0
        self.moments: list[list[Tensor]] = []

    def forward(self, activations: Tensor) -> Tensor:
        """activations: N C H W.  Returns N C H W."""
        call, self.calls = self.calls, self.calls + 1
        if self.learning:
            if call == len(self.moments):
                self.moments.append([])
            variance, mean = torch.var_mean(activations, (0, 2, 3), correction=0)
            self.moments[call].append(torch.stack([mean, variance]))
        else:
            mean, variance = self.moments[call][0]
        return F.batch_norm(activations, mean, variance, self.norm.weight, self.norm.bias, eps=self.norm.eps)


class Population:
    """A method whose networks normalise alike, wherever an image lies; the one given stays as it is.

    steps: batches of images of the size it was trained on, of which the statistics are.
    """

    def __init__(self, method: Method, make: Callable[[Method, Step], object], steps: Iterable[Step]) -> None:
        self.method = copy.deepcopy(method).eval()
        self._norms = list(_replaced(self.method))
        with torch.no_grad():
            for step in steps:
                self.begin()
                make(self.method, step)
        for norm in self._norms:
            norm.learning = False
            norm.moments = [[torch.stack(of_batches).mean(0)] for of_batches in norm.moments]

    def begin(self) -> None:
        """To be called before each use of the method."""
        for norm in self._norms:
            norm.calls = 0


def _replaced(module: nn.Module) -> list[PopulationNorm]:
    found = []
    for name, child in module.named_children():
        if isinstance(child, nn.InstanceNorm2d):
            norm = PopulationNorm(child)
            setattr(module, name, norm)
            found.append(norm)
        else:
            found += _replaced(child)
    return found
