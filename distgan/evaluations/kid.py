"""How good the samples are, honestly: against held-out real images, beside the floor and an untrained network.

    kid             samples of the averaged generator  against  held-out real images
    kid_floor       training images                    against  held-out real images   (as good as it gets)
    kid_untrained   samples of the first weights       against  held-out real images   (the naive baseline)

The features are those of a small autoencoder trained on the training images; its file's SHA-256 names
them, for only numbers in the same features can be compared.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from safetensors.torch import load_file, save
from torch import Tensor

from distgan.data.batches import Feed
from distgan.evaluation import Evaluation, Sets
from distgan.method import Batch, Method, Step
from distgan.metrics.diversity import diversity
from distgan.metrics.kid import FEWEST, Features, Kid, kid
from distgan.monitoring.tracking import read_lines
from distgan.networks.features import FeatureAutoencoder
from distgan.plots import image_plots
from storage.durable import write_file
from storage.errors import RecipeError
from storage.manifest import sha256_file

TRAINING_STEPS = 400
BATCH = 64
FEATURES = "features.safetensors"


class KidEvaluation(Evaluation):
    """Compares a method's samples with real images, always the same ones and the same noise.

    Raises RecipeError: there are too few images.
    """

    headline = "kid"
    lower = ("kid",)

    def __init__(self, sets: Sets) -> None:
        super().__init__(sets)
        feed, seed = sets.train, sets.seed
        real = sets.held_out or feed
        count = min(sets.samples, len(real.images), len(feed.images))
        if count < FEWEST:
            raise RecipeError(
                "there are too few images to compare samples with",
                f"{len(real.images)} to compare with, {len(feed.images)} to train on; {FEWEST} are needed of each",
                "Hold out more groups (data.split.held_out), or take more data",
            )
        self.seed = seed
        self.real_title = "real, held out" if sets.held_out else "real, training"
        self.network = feature_network(feed, seed, sets.folder / FEATURES)
        self.features_sha256 = sha256_file(sets.folder / FEATURES)
        random = np.random.Generator(np.random.Philox(key=[seed, 2]))
        self.real = real.rows(random.permutation(len(real.images))[:count])
        training = feed.rows(random.permutation(len(feed.images))[:count])
        raw = self._features(training)
        self.centre, self.scale = raw.mean(0), raw.std(0) + 1e-6
        self.training_features = self._standard(raw)
        self.real_features = self._standard(self._features(self.real))

    def params(self) -> dict[str, str]:
        """By what the features are named."""
        return {"features_sha256": self.features_sha256}

    def before(self, method: Method) -> dict[str, float]:
        """The floor, and the untrained network."""
        untrained = self.score(method)
        return (
            kid_metrics("kid_floor", self.floor())
            | kid_metrics("kid_untrained", untrained)
            | kid_metrics("kid", untrained)
        )

    def floor(self) -> Kid:
        """Training images against the held-out ones."""
        return kid(self.training_features, self.real_features)

    def score(self, method: Method) -> Kid:
        """Samples of the method against the held-out images."""
        return kid(self._made(method), self.real_features)

    def measure(self, method: Method) -> dict[str, float]:
        """Samples of the method against the held-out images: their distance, and their diversity."""
        made = self._made(method)
        found = vars(diversity(made, self.real_features))
        return kid_metrics("kid", kid(made, self.real_features)) | {f"diversity/{k}": v for k, v in found.items()}

    def _made(self, method: Method) -> Features:
        return self._standard(self._features(self.samples(method)))

    @torch.no_grad()
    def samples(self, method: Method) -> Batch:
        """As many samples as there are held-out images to compare with."""
        return Batch(torch.cat([self._batch(method, shard) for shard in range(-(-len(self.real) // BATCH))]))

    @torch.no_grad()
    def _batch(self, method: Method, shard: int) -> Tensor:
        batch = self.real.part(slice(shard * BATCH, (shard + 1) * BATCH))
        return method.preview(Step(batch, 0, shard, seed=self.seed))

    def figures(self, method: Method, images_seen: int) -> dict[str, Figure]:
        """Samples beside real images, and the distance along the run so far."""
        made, real = self._batch(method, 0).cpu().numpy(), self.real.images[:BATCH].cpu().numpy()
        beside = image_plots.side_by_side({f"generated, {images_seen:,} images seen": made, self.real_title: real})
        lines = [line for line in read_lines(self.sets.folder) if "kid" in line.get("metrics", {})]
        points = {line["images_seen"]: line["metrics"] for line in lines}
        return {"samples": beside} | ({"kid": self._curve(points)} if points else {})

    def _curve(self, points: Mapping[int, Mapping[str, float]]) -> Figure:
        first = next(iter(points.values()))
        return image_plots.distance_curve(
            list(points),
            [point["kid"] for point in points.values()],
            [(point["kid_low"], point["kid_high"]) for point in points.values()],
            {"training images (floor)": first["kid_floor"], "untrained network": first["kid_untrained"]},
            self.real_title.removeprefix("real, "),
        )

    @torch.no_grad()
    def _features(self, batch: Batch) -> Features:
        parts = [self.network.features(part) for part in batch.images.split(256)]
        return torch.cat(parts).double().cpu().numpy()

    def _standard(self, features: Features) -> Features:
        return (features - self.centre) / self.scale


def kid_metrics(name: str, found: Kid) -> dict[str, float]:
    """A distance and its interval as metrics."""
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def feature_network(feed: Feed, seed: int, cache: Path) -> FeatureAutoencoder:
    """The feature network of these images: read from `cache`, or trained and written there."""
    channels = feed.images.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FeatureAutoencoder(channels).to(feed.device)
    if cache.exists():
        network.load_state_dict(load_file(cache))
    else:
        _train(network, feed, seed)
        write_file(cache, save(network.state_dict()))
    return network.eval().requires_grad_(False)


def _train(network: FeatureAutoencoder, feed: Feed, seed: int) -> None:
    """Reconstruct the images from noisy ones."""
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(TRAINING_STEPS):
        batch = feed.batch(step * BATCH, BATCH)
        noise = Step(batch, step * BATCH, seed=seed).normal("feature noise", *batch.images.shape)
        loss = F.mse_loss(network(batch.images + 0.1 * noise), batch.images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
