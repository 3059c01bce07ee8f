"""The label generator of Han et al. alone (section 3.3), stage 1 of SGAN and DSGAN, and what it is compared with.

Presets:
    paper        the published code: FCGAN at half resolution
    default      it with all its losses weighted (eq. 7), a moving average
    small        that with narrower critics and a generator one halving less deep, for two cores
    vector       not fully convolutional: it begins with a vector, for images of 128 pixels at depth 5
    small_field  one discriminator, of patches of 70 x 70
    large_field  one discriminator, of patches of 286 x 286
    dcgan        DCGAN (Radford et al. 2016): a vector, and one score for the whole image of 128 pixels
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from distgan.families.tissue_gan import STAGE_1, TissueGan, TissueGanConfig
from distgan.method import Step


def _other(**tables: Mapping[str, Any]) -> dict[str, Any]:
    method = {name: dict(table) for name, table in tables.items()}
    method["critic"] = {"weighted": False} | method.get("critic", {})
    return {**STAGE_1, "method": method}


_ONE: Mapping[str, Any] = {"scales": [1], "weights": [1.0]}


class LabelGan(TissueGan):
    """Label images out of noise; they have no image yet."""

    Config = TissueGanConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **TissueGan.presets,
        "vector": _other(generator={"start": "vector"}),
        "small_field": _other(critic={**_ONE, "depths": [3]}),
        "large_field": _other(critic={**_ONE, "depths": [5]}),
        "dcgan": _other(
            generator={"start": "vector", "width": 64, "noise": 100, "norm": "batch"},
            critic={**_ONE, "depths": [1], "kind": "whole", "width": 64, "norm": "batch"},
        ),
    }

    @property
    def made_channels(self) -> int:
        """One for each structure."""
        return len(self.config.structures)

    def real(self, step: Step) -> Tensor:
        """The batch's labels."""
        return self.given(step)

    def label_images(self, step: Step) -> Tensor:
        """What the generator makes, N L H W."""
        return self.made(step, "preview")
