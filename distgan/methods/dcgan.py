"""DCGAN on cells (Goodfellow et al. 2014, Radford et al. 2016), as CytoGAN has it.

Presets:
    paper    the published code
    default  a representation with a non-linearity, both networks at 2e-4, a moving average
    small    that, a quarter as wide, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from distgan.adversarial import Adversarial, SmoothConfig, accuracy, adam, published
from distgan.losses import cross_entropy
from distgan.method import Step, Turn


class Dcgan(Adversarial):
    """The critic tells real from fake by cross-entropy; the generator does not saturate."""

    Config = SmoothConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"optimizer": adam(2e-4, 2e-4)},
        "small": {"method": {"width": 8, "critic_width": 8}, "optimizer": adam(2e-4, 5e-4)},
        "paper": published({"hidden": "linear", "fakes": "population"}, adam(5e-5, 1e-5), 64, 0.9999, 100),
    }

    def turns(self) -> tuple[Turn, ...]:
        """Critic, then generator."""
        return (
            Turn("critic", ("critic",), self.critic_loss),
            Turn("generator", ("generator",), self.generator_loss),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Half the cross-entropy of real images, that are to be nearly 1, and half that of fakes, 0."""
        real, fake = self.scores(step)
        return {
            "real": 0.5 * cross_entropy(real, self.smooth(step)),
            "fake": 0.5 * cross_entropy(fake, 0.0),
            "accuracy/critic": accuracy(real, fake),
        }

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """The cross-entropy of what is made, that is to be 1."""
        return {"generator": cross_entropy(self.score(step, self.made(step, "generator"), "made"), 1.0)}
