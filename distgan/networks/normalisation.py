"""How the networks of Han et al. (2018) normalise, as a choice that is kept with the model, and how they begin.

Their code never leaves training mode and trains on one image at a time, so that what it calls batch normalisation is
that of each image by itself, with learnt scales: "instance_affine". It does not depend on the other images of a
batch, and is the same when a model is used.
"""

from typing import Literal

from torch import nn

Norm = Literal["batch", "instance", "instance_affine", "none"]
"""Over the shard and space; over the space of each image, without or with learnt scales and offsets; or not at all."""


def normalised(norm: Norm, features: int) -> nn.Module:
    """The normalisation of N C H W activations."""
    if norm == "none":
        return nn.Identity()
    if norm == "batch":
        return nn.BatchNorm2d(features)
    return nn.InstanceNorm2d(features, affine=norm == "instance_affine")


def has_offset(norm: Norm) -> bool:
    """Whether a convolution before it wants an offset of its own, as in pix2pix."""
    return norm in ("instance", "none")


def initialise(network: nn.Module) -> None:
    """Weights N(0, 0.02), scales N(1, 0.02) and no offsets, as in DCGAN (Radford et al. 2016, section 4)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d) and module.weight is not None:
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
