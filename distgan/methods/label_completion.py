"""Labels of some structures where those of others are given (Han et al., section 3.4): mitochondria given membranes.

Presets:
    paper    the refinement network with its noise image, and the schedule of stage 2
    unet     the U-Net with the same noise image, which the published code's is not told
    default  the paper's, with all losses weighted (eq. 7) and a moving average
    small    that at a quarter of the width, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from distgan.families.tissue import unequal
from distgan.families.tissue_translation import DEFAULT, NARROW, RUN, STAGE_2, TranslationConfig, TranslationGan
from distgan.method import Step

_CRITIC: Mapping[str, Any] = {"weighted": False}


class LabelCompletionConfig(TranslationConfig):
    """given: the structures it is told.  structures: those it makes."""

    given: tuple[str, ...] = ("membranes",)
    structures: tuple[str, ...] = ("mitochondria",)

    @property
    def labels(self) -> tuple[str, ...]:
        """Those it is told, and those it makes."""
        return (*self.given, *self.structures)


class LabelCompletion(TranslationGan):
    """Other noise is another arrangement of the same cells."""

    Config = LabelCompletionConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": DEFAULT,
        "small": {**RUN, "method": NARROW, "optimizer": unequal(pair_critic=1e-4)},
        "paper": {**STAGE_2, "method": {"pair_critic": _CRITIC}},
        "unet": {**STAGE_2, "method": {"pair_critic": _CRITIC, "translator": {"kind": "unet"}}},
    }

    @property
    def given_channels(self) -> int:
        """One for each structure it is told."""
        return len(self.config.given)

    @property
    def made_channels(self) -> int:
        """One for each structure it makes."""
        return len(self.config.structures)

    def source(self, step: Step) -> Tensor:
        """The labels it is told."""
        return self.given(step, self.config.given)

    def target(self, step: Step) -> Tensor:
        """The labels it is to make."""
        return self.given(step)

    def label_images(self, step: Step) -> Tensor:
        """The batch's labels of what is given, and those made of them: N L H W."""
        labels = self.source(step)
        return torch.cat([labels, self.translated(step, labels, "preview")], 1)
