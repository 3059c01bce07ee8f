"""The cascaded refinement network (Chen and Koltun 2017) as Han et al. have it, told its noise.

Modules double the size, from that of the noise image to that of the labels; each is shown the labels at its own size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distgan.networks.normalisation import Norm, initialise, normalised
from distgan.networks.unet import Disturbance, untouched


class RefinementNetwork(nn.Module):
    """Label images N L H W and noise N Z h w -> N C H W in [-1, 1]; the edges are 2^depth times those of the noise.

    depth: modules; 6 in the paper.  convolutions: of a module after its doubling; 2 in the paper.
    """

    def __init__(
        self, labels: int, channels: int, noise: int, width: int, depth: int, convolutions: int, norm: Norm
    ) -> None:
        super().__init__()
        self.depth = depth
        self.label_features = nn.Sequential(nn.Conv2d(labels, width, 3, padding=1), normalised(norm, width))
        self.doublings, self.refinements = nn.ModuleList(), nn.ModuleList()
        for module in range(depth):
            inside = 2 * width if module else labels + noise
            double = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            first = nn.Conv2d(inside, width, 3, padding=1)
            self.doublings.append(nn.Sequential(first, double, normalised(norm, width)))
            layers: list[nn.Module] = []
            for layer in range(convolutions):
                last = module == depth - 1 and layer == convolutions - 1
                layers += [nn.ReLU(), nn.Conv2d(width, channels if last else width, 3, padding=1)]
                layers += [] if last else [normalised(norm, width)]
            self.refinements.append(nn.Sequential(*layers))
        initialise(self)

    def forward(self, labels: Tensor, noise: Tensor, disturb: Disturbance = untouched) -> Tensor:
        """labels: N L H W in [-1, 1].  noise: N Z h w.  disturb: for what each module but the last has doubled."""
        activations = noise
        for module, (double, refine) in enumerate(zip(self.doublings, self.refinements, strict=True)):
            shown = F.avg_pool2d(labels, 2 ** (self.depth - module))
            shown = self.label_features(shown) if module else shown
            activations = double(torch.cat([shown, activations], 1))
            if module < self.depth - 1:
                activations = disturb(activations, module, dropped=False)
            activations = refine(activations)
        return torch.tanh(activations)
