"""Star-shaped GAN of Osokin et al. (section 4.2): one red tower feeds a green tower of each class; by cross-entropy.

Presets:
    paper    the published code, for 50,000 steps of 64 images of each of six classes
    default  the same with an average
    small    a quarter as wide, for two cores
"""

from distgan.families.red_green import CrossEntropyGame
from distgan.families.star import Star, StarConfig, published


class StarGan(CrossEntropyGame, Star):
    """A red channel with the greens of all classes, and a critic of each pair."""

    Config = StarConfig
    presets = published("cross_entropy")
