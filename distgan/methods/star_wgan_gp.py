"""Star-shaped WGAN-GP of Osokin et al. (section 4.2): one red tower feeds a green tower of each class.

Presets:
    paper    the published code, for 50,000 steps of the generator, each after five batches of 64 images of six classes
    default  the same with an average
    small    a quarter as wide, two batches, for two cores
"""

from distgan.families.red_green import PenaltyConfig, WassersteinGame
from distgan.families.star import Star, StarConfig, published


class StarWganGpConfig(StarConfig, PenaltyConfig):
    """Keys of both."""


class StarWganGp(WassersteinGame, Star):
    """A red channel with the greens of all classes, and a critic of each pair."""

    Config = StarWganGpConfig
    presets = published("wgan_gp")
