"""Separable WGAN-GP of Osokin et al. (section 4.2): green depends on red, and red on nothing but its noise.

Of one class (data.subset), or of all of them without labels; by the distance of Gulrajani et al. 2017.

Presets:
    paper    the published code, for 50,000 steps of the generator, each after five batches of 64
    default  the same with an average
    small    a quarter as wide, two batches, for two cores
"""

from distgan.families.red_green import PenaltyConfig, WassersteinGame, Whole, published


class SeparableWganGpConfig(PenaltyConfig):
    """separable: whether the channels have towers; else it is DCGAN's generator, the paper's baseline."""

    separable: bool = True


class SeparableWganGp(WassersteinGame, Whole):
    """One generator and one critic, which measures the distance to real images."""

    Config = SeparableWganGpConfig
    presets = published("wgan_gp")
