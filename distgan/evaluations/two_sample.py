"""The two-sample test along a run: can a fresh, small critic tell the samples from held-out images?

    two_sample         samples of the averaged generator  against  held-out real images: less is better
    two_sample_floor   training images in their place     against  the same               (as good as it gets)
    two_sample_auc     in what share of pairs the real image is scored higher; 0.5 is chance

All classes are one set here, and the test is short, to be affordable every so many images. Its critic is trained by
cross-entropy: the score is -1.39 of a critic that knows nothing, 0 of one that knows all, and below both of one that is
wrong. After so few steps WGAN-GP's penalty would say more of the critic than of the images. For figures to be compared
with those of others take `distgan evaluate two_sample`, which trains longer, more often, and class by class.
"""

import numpy as np
import torch
from torch import Tensor

from distgan.evaluation import Evaluation, Sets
from distgan.method import Method, Step
from distgan.metrics.two_sample import Made, Scores, Test, drawn_from, two_sample

STEPS, WIDTH, SPLITS, PASSES, BATCH = 200, 8, 2, 2, 32
RATE = 1e-3
"""Five times the published one, whose tests are 25 times as long."""


class TwoSampleEvaluation(Evaluation):
    """Tests samples of a method by critics that are trained anew each time, in the same way."""

    headline = "two_sample"
    lower = ("two_sample", "two_sample_auc")

    def __init__(self, sets: Sets) -> None:
        super().__init__(sets)
        self.test = Test(
            "cross_entropy",
            steps=STEPS,
            width=WIDTH,
            rate=RATE,
            batch=BATCH,
            splits=SPLITS,
            passes=PASSES,
            seed=sets.seed,
        )
        random = np.random.Generator(np.random.Philox(key=[sets.seed, 7]))
        real = sets.held_out or sets.train
        self.real = real.rows(random.permutation(len(real.images))[: sets.samples])
        self.training = sets.train.rows(random.permutation(len(sets.train.images))[: sets.samples])

    def before(self, method: Method) -> dict[str, float]:
        """Training images in the place of samples; and the untrained networks."""
        floor = _metrics(two_sample(self.real.images, drawn_from(self.training.images), self.test))
        named = {name.replace("two_sample", "two_sample_floor"): value for name, value in floor.items()}
        return named | self.measure(method)

    def measure(self, method: Method) -> dict[str, float]:
        """Samples of the method against the held-out images."""
        return _metrics(two_sample(self.real.images, self._made(method), self.test))

    def _made(self, method: Method) -> Made:
        """Samples; a method that looks at images or classes is shown training images: half of them to learn from."""
        shown = self.training

        @torch.no_grad()
        def draw(count: int, number: int) -> Tensor:
            half = torch.arange(number % 2, len(shown), 2, device=shown.images.device)
            rows = half[(torch.arange(count) + number // 2 * count) % len(half)]
            return method.preview(Step(shown.part(rows), 0, number, seed=self.sets.seed))

        return draw


def _metrics(scores: Scores) -> dict[str, float]:
    found = scores.summary()
    return {"two_sample": found["median"], "two_sample_auc": found["auc"]}
