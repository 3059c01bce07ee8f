"""A network that finds structures in images: the U-Net by which Han et al. judge pairs (their recipe is unpublished).

Presets:
    paper    as wide and deep as the published reconstructor, a U-Net of 7 halvings
    default  the same, a moving average, whole mirror symmetry of the training images
    small    that at half the width and with 5 halvings, batch-normalised, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from distgan.families.tissue import Tissue, segmentation_loss
from distgan.families.tissue_sections import SMALL_READER, Reader, TissueConfig
from distgan.method import Sample, Step, Turn

_AUGMENT = {"flip": True, "quarter_turns": True, "gain": 0.2, "offset": 0.1}
_RATES: Mapping[str, Any] = {"lr": 1e-3, "schedule": "cosine"}


class SegmentationConfig(TissueConfig):
    """reader: see there."""

    reader: Reader = Reader()


class Segmentation(Tissue):
    """Every structure is found by itself, so that a pixel may belong to several."""

    Config = SegmentationConfig
    networks = ("reader",)
    averaged = ("reader",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"augment": _AUGMENT, "optimizer": _RATES, "evaluate": {"metrics": ["segmentation"]}},
        "small": {
            "augment": _AUGMENT,
            "method": {"reader": SMALL_READER},
            "optimizer": {**_RATES, "lr": 2e-3},
            "evaluate": {"metrics": ["segmentation"]},
        },
        "paper": {
            "run": {"batch_size": 1},
            "augment": {"flip": True, "quarter_turns": True},
            "optimizer": {"lr": 2e-4, "betas": [0.5, 0.999], "schedule": "linear", "hold": 0.5},
            "ema": {"half_life_images": 0},
            "evaluate": {"metrics": ["segmentation"]},
        },
    }

    def __init__(self, config: SegmentationConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.reader = self.new_reader()

    def turns(self) -> tuple[Turn, ...]:
        """One network, one loss."""
        return (Turn("reader", ("reader",), self.loss),)

    def loss(self, step: Step) -> Mapping[str, Tensor]:
        """Binary cross-entropy per pixel of the labels."""
        return {"reader": segmentation_loss(self.reader(step.batch.images), self.given(step))}

    def segment(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns the log-odds of each structure at each pixel, N L H W."""
        return self.segmented(self.reader, images)
