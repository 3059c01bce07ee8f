"""Separable GAN of Osokin et al. (section 4.2): green depends on red, and red on nothing but its noise.

Of one class (data.subset), or of all of them without labels; by cross-entropy.

Presets:
    paper    the published code, for 50,000 steps of 64 images
    default  the same with an average
    small    a quarter as wide, for two cores
"""

from distgan.families.red_green import CrossEntropyGame, RedGreenConfig, Whole, published


class SeparableGanConfig(RedGreenConfig):
    """separable: whether the channels have towers; else it is DCGAN, the paper's baseline."""

    separable: bool = True


class SeparableGan(CrossEntropyGame, Whole):
    """One generator and one critic, which tells real images from fakes."""

    Config = SeparableGanConfig
    presets = published("cross_entropy")
