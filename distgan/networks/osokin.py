"""The generators and the critic of Osokin et al. (section 4, and their code), for images of any size from 8 x 8.

All are DCGAN's (Radford et al. 2016) without offsets: edges are halved while both are above 4. At 48 x 80 pixels, two
channels and 32 feature maps per channel the plain generator has 3,524,480 parameters, the separable one 2,643,840, the
star of six classes 11,455,040, and the critic 2,762,240, as the published code has.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from storage.errors import RecipeError

Edges = tuple[int, int]
GreenNoise = Literal["shared", "per_class"]


def edges_of(size: Edges) -> list[Edges]:
    """Height and width of the image, and of every layer below it, halved and rounded down while both are above 4.

    Raises RecipeError: the image is too small to be halved.
    """
    if min(size) < 8:
        raise RecipeError(
            "the networks have no shape for these images",
            f"{size[0]} x {size[1]} pixels",
            "Prepare patches of at least 8 x 8 pixels (prepare.patch)",
        )
    found = [size, (size[0] // 2, size[1] // 2)]
    while min(found[-1]) > 4:
        found.append((found[-1][0] // 2, found[-1][1] // 2))
    return found


class Plain(nn.Module):
    """Noise N Z -> one kind of image, 1 N C H W in [-1, 1]: every channel from all features.

    width: feature maps before the last convolution.  inputs: length Z of the noise.
    """

    def __init__(self, channels: int, size: Edges, inputs: int, width: int) -> None:
        super().__init__()
        self.inputs = inputs
        widths = _widths(inputs, width, channels, size)
        self.layers = nn.Sequential(*(_grown(size, widths, layer) for layer in range(len(widths) - 1)))
        initialise(self)

    def forward(self, noise: Tensor) -> Tensor:
        """noise: N Z.  Returns 1 N C H W."""
        return torch.tanh(self.layers(noise[..., None, None]))[None]


class Towers(nn.Module):
    """Noise N Z -> T N C H W in [-1, 1]: cells of one red channel, and T kinds of the other channels for it.

    The red tower sees only its own noise and features; each green tower sees the red's and its own (figure 2). With one
    green tower it is the separable generator, with one per class the star. What is red is made, and normalised, once.
    channels: C, of which the first is red.  width: feature maps before the last convolution, the red's and those of one
    green tower together; share of them the red's.  inputs: of the noise, likewise.
    """

    def __init__(
        self,
        channels: int,
        size: Edges,
        inputs: int,
        width: int,
        *,
        towers: int = 1,
        red_portion: float | None = None,
        green_noise: GreenNoise = "shared",
    ) -> None:
        super().__init__()

        def share(count: int) -> int:
            return count // channels if red_portion is None else int(red_portion * count)

        self.red_inputs, self.green_inputs = share(inputs), inputs - share(inputs)
        self.towers = towers
        self.noises = towers if green_noise == "per_class" else 1
        self.inputs = self.red_inputs + self.noises * self.green_inputs
        widths = _widths(inputs, width, channels, size)
        red = [*(share(wide) for wide in widths[:-1]), 1]
        green = [whole - own for whole, own in zip(widths, red, strict=True)]
        if min(*red, *green) < 1:
            raise RecipeError(
                "a tower would have no features",
                f"{red} of {widths} feature maps would be red",
                "Raise method.width or method.noise, or set another method.red_portion",
            )
        count = len(widths) - 1
        self.red = nn.ModuleList(_grown(size, red, layer) for layer in range(count))
        self.green = nn.ModuleList(
            nn.ModuleList(_grown(size, green, layer, seen=widths[layer]) for layer in range(count))
            for _ in range(towers)
        )
        initialise(self)

    def reds(self, noise: Tensor) -> Tensor:
        """The red channel alone.  noise: N R, the red's.  Returns N 1 H W."""
        red = noise[..., None, None]
        for step in self.red:
            red = step(red)
        return torch.tanh(red)

    def forward(self, noise: Tensor) -> Tensor:
        """noise: N Z, the red's first.  Returns T N C H W; the red channel is the same T times."""
        red, *own = noise[..., None, None].split([self.red_inputs, *[self.green_inputs] * self.noises], 1)
        greens = own * (self.towers // self.noises)
        for layer, step in enumerate(self.red):
            greens = [
                tower[layer](torch.cat([red, green], 1))  # type: ignore[index]
                for tower, green in zip(self.green, greens, strict=True)
            ]
            red = step(red)
        return torch.tanh(torch.stack([torch.cat([red, green], 1) for green in greens]))


class Independent(nn.Module):
    """Noise N Z -> T N C H W in [-1, 1] by a generator for each class, which have nothing in common but the noise."""

    def __init__(self, generators: Sequence[Plain | Towers]) -> None:
        super().__init__()
        self.generators = nn.ModuleList(generators)
        self.inputs = generators[0].inputs

    def forward(self, noise: Tensor) -> Tensor:
        """noise: N Z.  Returns T N C H W."""
        return torch.cat([generator(noise) for generator in self.generators])


class Critic(nn.Module):
    """Images N C H W -> scores N.

    width: feature maps of the first convolution.  batch_norm: of all layers but the first and the last; the published
    code leaves it out where slopes are penalised.
    """

    def __init__(self, channels: int, size: Edges, width: int, *, batch_norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside, edges = channels, edges_of(size)
        for number in range(len(edges) - 1):
            outside = width << number
            layers.append(nn.Conv2d(inside, outside, 4, 2, 1, bias=False))
            layers += [nn.BatchNorm2d(outside)] if batch_norm and number else []
            layers.append(nn.LeakyReLU(0.2))
            inside = outside
        self.layers = nn.Sequential(*layers, nn.Conv2d(inside, 1, edges[-1], bias=False))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns N."""
        return self.layers(images).flatten()


def initialise(network: nn.Module) -> None:
    """Weights N(0, 0.02); scales of normalisation N(1, 0.02), and no offset."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


def _widths(inputs: int, width: int, channels: int, size: Edges) -> list[int]:
    """Of what goes into each layer of a generator, and of what comes out of the last."""
    below = len(edges_of(size)) - 1
    return [inputs, *(width << number for number in reversed(range(below))), channels]


def _grown(size: Edges, widths: Sequence[int], layer: int, seen: int | None = None) -> nn.Sequential:
    """One layer of a generator, from the smallest; `seen`: feature maps that go in, where they are not all its own."""
    edges = edges_of(size)[::-1]
    inside, outside = seen or widths[layer], widths[layer + 1]
    if layer == 0:
        grow = nn.ConvTranspose2d(inside, outside, edges[0], bias=False)
    else:
        (low, narrow), (high, wide) = edges[layer - 1 : layer + 1]
        odd = (high - 2 * low, wide - 2 * narrow)
        grow = nn.ConvTranspose2d(inside, outside, 4, 2, 1, output_padding=odd, bias=False)
    last = layer == len(widths) - 2
    return nn.Sequential(grow, *([] if last else [nn.BatchNorm2d(outside), nn.ReLU()]))
