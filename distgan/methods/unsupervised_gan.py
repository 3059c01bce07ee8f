"""UnsupervisedGAN (Han et al., section 3.2): images out of noise, and labels by a network that reads them off.

That network learns along, from real images; `[init] reader = ...` lets it begin with one that can do it.

Presets:
    paper    the published code
    default  it with all its losses weighted (eq. 7), a moving average
    small    that with narrower critics and a generator one halving less deep, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from distgan.families.tissue import segmentation_loss
from distgan.families.tissue_gan import SMALL, TissueGan, TissueGanConfig
from distgan.families.tissue_sections import SMALL_READER, Reader
from distgan.method import Sample, Step, Turn


class UnsupervisedGanConfig(TissueGanConfig):
    """reader: see there."""

    reader: Reader = Reader()


class UnsupervisedGan(TissueGan):
    """The generator never sees a label."""

    Config = UnsupervisedGanConfig
    networks = ("critic", "generator", "reader")
    averaged = ("generator", "reader")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **TissueGan.presets,
        "small": {**SMALL, "method": SMALL["method"] | {"reader": SMALL_READER}},
    }

    def __init__(self, config: UnsupervisedGanConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.reader = self.new_reader()

    @property
    def made_channels(self) -> int:
        """Those of an image."""
        return self.channels

    def turns(self) -> tuple[Turn, ...]:
        """Critic, generator some times, reader."""
        return (*super().turns(), Turn("reader", ("reader",), self.reader_loss))

    def real(self, step: Step) -> Tensor:
        """The batch's images."""
        return step.batch.images

    def reader_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Cross-entropy of the labels of real images."""
        return {"reader": segmentation_loss(self.reader(step.batch.images), self.given(step))}

    def segment(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns the log-odds of each structure at each pixel, N L H W."""
        return self.segmented(self.reader, images)

    def pairs(self, step: Step) -> tuple[Tensor, Tensor]:
        """Images N C H W, and what is read off them N L H W."""
        images = self.preview(step)
        return images, self.segment(images).sigmoid() * 2 - 1

    def preview(self, step: Step) -> Tensor:
        """What the generator makes."""
        return self.made(step, "preview")
