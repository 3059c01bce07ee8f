"""JointGAN (Han et al., section 3.2): one generator makes an image and its labels at once, as channels of one image.

Presets:
    paper    the published code
    default  it with all its losses weighted (eq. 7), a moving average
    small    that with narrower critics and a generator one halving less deep, for two cores
"""

import torch
from torch import Tensor

from distgan.families.tissue_gan import TissueGan, TissueGanConfig
from distgan.method import Step


class JointGan(TissueGan):
    """Images and their labels out of the same noise."""

    Config = TissueGanConfig

    @property
    def made_channels(self) -> int:
        """Those of an image, and one for each structure."""
        return self.channels + len(self.config.structures)

    def real(self, step: Step) -> Tensor:
        """The batch's images, and their labels."""
        return torch.cat([step.batch.images, self.given(step)], 1)

    def pairs(self, step: Step) -> tuple[Tensor, Tensor]:
        """Images N C H W and their labels N L H W."""
        made = self.made(step, "preview")
        return made[:, : self.channels], made[:, self.channels :]

    def preview(self, step: Step) -> Tensor:
        """The images alone."""
        return self.pairs(step)[0]
