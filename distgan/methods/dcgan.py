"""DCGAN on cells (Goodfellow et al. 2014, Radford et al. 2016), as CytoGAN has it.

Presets:
    paper    the published code
    default  a representation with a non-linearity, both networks at 2e-4, a moving average
    small    that, a quarter as wide, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from distgan.families.adversarial import Duel, SmoothConfig, adam, published
from distgan.losses import cross_entropy


class Dcgan(Duel):
    """The critic tells real from fake by cross-entropy; the generator does not saturate."""

    Config = SmoothConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"optimizer": adam(2e-4, 2e-4)},
        "small": {"method": {"width": 8, "critic_width": 8}, "optimizer": adam(2e-4, 5e-4)},
        "paper": published({"hidden": "linear", "fakes": "population"}, adam(5e-5, 1e-5), 64, 0.9999, 100),
    }

    def cost(self, scores: Tensor, wanted: Tensor | float) -> Tensor:
        """Cross-entropy."""
        return cross_entropy(scores, wanted)
