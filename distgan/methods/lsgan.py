"""LSGAN on cells (Mao et al. 2017), CytoGAN's best model of them.

Presets:
    paper        the published code
    conditional  C-LSGAN of the published code: told the compound and its concentration
    default      a representation with a non-linearity, both networks at 2e-4, a moving average
    small        that, a quarter as wide, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from distgan.families.adversarial import Duel, SmoothConfig, adam, published
from distgan.losses import least_squares

_PAPER = {"hidden": "linear", "fakes": "population"}
_CONDITIONAL = _PAPER | {"condition": ["compound", "concentration"], "embedding": 16}


class Lsgan(Duel):
    """The critic scores real images 1 and fakes 0, by least squares."""

    Config = SmoothConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"optimizer": adam(2e-4, 2e-4)},
        "small": {"method": {"width": 8, "critic_width": 8}, "optimizer": adam(2e-4, 5e-4)},
        "paper": published(_PAPER, adam(7e-5, 2e-4), 64, 0.9999, 100),
        "conditional": published(_CONDITIONAL, adam(7e-5, 2e-4), 64, 0.9995, 200),
    }

    def cost(self, scores: Tensor, wanted: Tensor | float) -> Tensor:
        """Least squares."""
        return least_squares(scores, wanted)
