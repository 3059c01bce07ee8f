"""A classifier at every window of images of 128 x 128, stride 4: `make bench`. Against 625 crops one by one, as the
published code does it. What is asserted is that both give the same, but for the fast way.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distgan.inference.windows import crops, exact, fast
from distgan.networks.rosette import Critic

pytestmark = pytest.mark.benchmark
IMAGES, SIZE, STRIDE = 8, 32, 4
"""An image costs the same among a thousand."""


def one_by_one(network: Critic, images: Tensor) -> Tensor:
    """N Y X K."""
    places = range(0, images.shape[-1] - SIZE + 1, STRIDE)
    with torch.inference_mode():
        rows = [
            [[network(image[None, :, y : y + SIZE, x : x + SIZE])[0] for x in places] for y in places]
            for image in images
        ]
    return torch.stack([torch.stack([torch.stack(row) for row in image]) for image in rows])


def at_once(way: str, network: Critic, images: Tensor) -> Tensor:
    with torch.inference_mode():
        if way == "crops":
            return crops(images, SIZE, STRIDE, network)
        return {"exact": exact, "fast": fast}[way](network, images, SIZE, STRIDE)


@pytest.mark.parametrize(
    ("way", "norm", "goal"),
    [("exact", "batch", 3), ("fast", "batch", 10), ("crops", "batch", 3), ("crops", "layer", 3), ("fast", "layer", 10)],
)
def test_every_window(way: str, norm: Any, goal: float, bench: Any) -> None:
    torch.manual_seed(0)
    network = Critic(1, SIZE, 32, norm, 0.1, outputs=2).eval().requires_grad_(False)
    values = np.random.default_rng(0).uniform(-1, 1, (IMAGES, 1, 128, 128)).astype(np.float32)
    images = torch.from_numpy(values)
    found, wanted = at_once(way, network, images[:1]), one_by_one(network, images[:1])
    assert found.shape == (1, 2, 25, 25)
    if way != "fast":
        assert torch.allclose(found, wanted.permute(0, 3, 1, 2), atol=1e-4)
    bench.race(
        f"625 windows of each of {IMAGES} images, {norm} norm, {way} / crops one by one",
        goal,
        lambda: at_once(way, network, images),
        lambda: one_by_one(network, images),
        samples=IMAGES,
    )
