"""Images of given label images (Han et al., eq. 3, V_x): stage 2 of SGAN, alone.

Presets:
    paper    the published code's README: a U-Net whose noise is dropout and what is added to its levels
    default  the refinement network of the paper, told a noise image, and no difference to the real image
    small    that at a quarter of the width, with the difference, for two cores
"""

from torch import Tensor

from distgan.families.tissue_translation import TranslationConfig, TranslationGan
from distgan.method import Step


class LabelToImage(TranslationGan):
    """Its samples are of the labels of a batch."""

    Config = TranslationConfig

    def pairs(self, step: Step) -> tuple[Tensor, Tensor]:
        """Images N C H W of the batch's labels N L H W."""
        labels = self.source(step)
        return self.translated(step, labels, "preview"), labels

    def preview(self, step: Step) -> Tensor:
        """The images alone."""
        return self.pairs(step)[0]
