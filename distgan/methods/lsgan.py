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

from distgan.adversarial import Adversarial, SmoothConfig, accuracy, adam, published
from distgan.losses import least_squares
from distgan.method import Step, Turn

_PAPER = {"hidden": "linear", "fakes": "population"}
_CONDITIONAL = _PAPER | {"condition": ["compound", "concentration"], "embedding": 16}


class Lsgan(Adversarial):
    """The critic scores real images 1 and fakes 0, by least squares."""

    Config = SmoothConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"optimizer": adam(2e-4, 2e-4)},
        "small": {"method": {"width": 8, "critic_width": 8}, "optimizer": adam(2e-4, 5e-4)},
        "paper": published(_PAPER, adam(7e-5, 2e-4), 64, 0.9999, 100),
        "conditional": published(_CONDITIONAL, adam(7e-5, 2e-4), 64, 0.9995, 200),
    }

    def turns(self) -> tuple[Turn, ...]:
        """Critic, then generator."""
        return (
            Turn("critic", ("critic",), self.critic_loss),
            Turn("generator", ("generator",), self.generator_loss),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Half the squares of real images, that are to be nearly 1, and half those of fakes, 0."""
        real, fake = self.scores(step)
        return {
            "real": 0.5 * least_squares(real, self.smooth(step)),
            "fake": 0.5 * least_squares(fake, 0.0),
            "accuracy/critic": accuracy(real, fake),
        }

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """The squares of what is made, that is to be 1."""
        return {"generator": least_squares(self.score(step, self.made(step, "generator"), "made"), 1.0)}
