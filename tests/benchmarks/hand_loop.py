"""What one would write without distgan: the same networks, data and updates in one plain loop.

python hand_loop.py STORE BATCH_SIZE IMAGES    prints images per second after the first steps
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from distgan.networks.rosette import Critic, Generator
from storage.patches import PatchStore

WARM_STEPS = 10


def main(path: str, batch_size: int, images: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    store = PatchStore.open(Path(path))
    data = torch.from_numpy(store.read(np.arange(store.shape[0])))
    critic = Critic(channels=1, size=32, width=32, norm="layer", momentum=0.1)
    generator = Generator(channels=1, size=32, noise=64, width=8, momentum=0.1)
    critic_adam = torch.optim.Adam(critic.parameters(), 3e-4, betas=(0.0, 0.9))
    moving = [p for p in generator.parameters() if p.requires_grad]
    generator_adam = torch.optim.Adam(moving, 3e-4, betas=(0.0, 0.9))
    order = torch.randperm(len(data))
    started = time.monotonic()
    steps = images // batch_size
    for step in range(steps):
        if step == WARM_STEPS:
            started = time.monotonic()
        rows = order[torch.arange(step * batch_size, (step + 1) * batch_size) % len(data)]
        real = data[rows].float() / 127.5 - 1
        with torch.no_grad():
            fake = generator(torch.randn(batch_size, 64))
        mix = torch.rand(batch_size, 1, 1, 1)
        between = (mix * real + (1 - mix) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
        critic_adam.zero_grad()
        loss.backward()
        critic_adam.step()
        if (step + 1) % 5 == 0:
            loss = -critic(generator(torch.randn(batch_size, 64))).mean()
            generator_adam.zero_grad()
            loss.backward()
            generator_adam.step()
    print((steps - WARM_STEPS) * batch_size / (time.monotonic() - started))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
