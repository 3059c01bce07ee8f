"""The six steps of phase 1, against gradients that were computed by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distgan.config.run_config import config_from_tables
from distgan.data.batches import Feed
from distgan.engine.distributed import Group
from distgan.engine.trainer import Trainer
from distgan.method import Batch, Sample, Step, build
from distgan.methods.cell_autoencoder import CellAutoencoder
from storage.errors import RecipeError

CODES, IMAGES = 0.3, 0.7
"""gamma_Enc and gamma_Dec, large enough to be seen."""
N = 6


def configured(preset: str = "default", **keys: Any) -> Any:
    tables = {
        "run": {"name": "tiny", "images": 100} | ({} if preset in ("paper", "tables") else {"batch_size": N}),
        "data": {"store": "none"},
        "method": {"name": "cell_autoencoder", "preset": preset, **keys},
        "evaluate": {"every_images": 96},
        "checkpoint": {"every_images": 96},
    }
    return config_from_tables(tables, "the test")


@pytest.mark.parametrize("preset", ["paper", "tables"])
def test_the_paper_s_settings_are_the_published_ones(preset: str) -> None:
    config = configured(preset)
    method = config.method
    assert (method.width, method.depth, method.critic_width, method.critic_depth) == (64, 6, 64, 5)
    assert (method.code_width, method.latent, method.white_noise) == (512, 16, 0.05)
    assert (method.code_weight, method.image_weight) == (1e-4, 1e-5)
    assert method.layers == {"paper": "code", "tables": "tables"}[preset]
    assert config.run.batch_size == 32
    assert config.ema.half_life_images == 0
    for one in config.optimizer.values():
        assert (one.kind, one.lr, one.betas, one.schedule) == ("adam", 2e-4, (0.5, 0.999), "constant")


class Scalar(nn.Module):
    """A network of one weight."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))


class Encode(Scalar):
    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.weight * images.flatten(1)]


class Decode(Scalar):
    def forward(self, codes: Tensor) -> Tensor:
        return (self.weight * codes).unflatten(1, (1, 1, 1))


class Judge(Scalar):
    def forward(self, images: Tensor, white: Any) -> Tensor:
        return self.weight * white(images, "images").flatten(1)


class JudgeCode(Scalar):
    def forward(self, codes: Tensor) -> Tensor:
        return (self.weight * codes).squeeze(1)


E, D, C, K = 0.8, -1.3, 2.0, 0.6


@pytest.fixture
def scalars() -> Trainer:
    """Images of one pixel; four networks of one weight; every network learns by -1 times its gradient."""
    keys = {"latent": 1, "code_weight": CODES, "image_weight": IMAGES, "white_noise": 0.0, "width": 4, "depth": 3}
    config = configured(**keys, critic_depth=3, critic_width=4)
    config = config.model_copy(
        update={
            "optimizer": {
                name: one.model_copy(update={"kind": "sgd", "lr": 1.0, "betas": (0.0, 0.9)})
                for name, one in config.optimizer.items()
            }
        }
    )
    method = build(CellAutoencoder, config.method, Sample((1, 32, 32)), 0)
    method.encoder, method.decoder = Encode(E), Decode(D)  # type: ignore[assignment]
    method.image_critic, method.code_critic = Judge(C), JudgeCode(K)  # type: ignore[assignment]
    pixels = np.random.default_rng(0).integers(0, 256, (N, 1, 1, 1), np.uint8)
    store: Any = SimpleNamespace(read=lambda rows: pixels[rows], value_range=(0.0, 255.0))
    return Trainer(config, method, Feed(store, np.arange(N), 0, torch.device("cpu")), Group())


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def by_hand(one: Trainer, critic: float) -> dict[str, float]:
    """The four gradients of the mean of the losses.  critic: the weight of the image critic in steps 3 and 5."""
    step = one._shard(0, 0)
    x = (0.5 * step.batch.images + 0.5).flatten()
    drawn, normal = step.normal("z^r", N, 1).flatten(), step.normal("z", N, 1).flatten()
    z = E * x
    again, made = sigmoid(D * z), sigmoid(D * drawn)

    def fooled(image: Tensor, code: Tensor) -> Tensor:
        """d/dD of -log sigmoid(critic * sigmoid(D code))."""
        return (sigmoid(critic * image) - 1) * critic * image * (1 - image) * code

    return {
        "image_critic": ((sigmoid(C * x) - 1) * x + sigmoid(C * made) * made).mean().item(),
        "code_critic": ((sigmoid(K * normal) - 1) * normal + sigmoid(K * z) * z).mean().item(),
        "encoder": ((again - x) * D * x + CODES * (sigmoid(K * z) - 1) * K * x).mean().item(),
        "decoder": ((again - x) * z + IMAGES * (fooled(made, drawn) + fooled(again, z))).mean().item(),
    }


def found(one: Trainer) -> dict[str, float]:
    gradients: dict[str, float] = {}
    for turn in one.turns:
        means = one.passes(turn, lambda shard: one._shard(shard, 0)).gradients
        gradients |= {name: means[one.method.network(name).weight].item() for name in turn.networks}
    return gradients


def test_every_gradient_is_the_one_computed_by_hand(scalars: Trainer) -> None:
    assert found(scalars) == pytest.approx(by_hand(scalars, C), rel=1e-4)


def test_the_decoder_meets_the_image_critic_as_that_has_become(scalars: Trainer) -> None:
    """The published code mixes stale activations of it with its new weights, which no gradient can."""
    expected = by_hand(scalars, C)
    scalars.take(scalars.turns[0], 0)
    moved = scalars.method.image_critic.weight.item()
    assert moved == pytest.approx(C - expected["image_critic"], rel=1e-4)
    anew = by_hand(scalars, moved)["decoder"]
    assert abs(anew - expected["decoder"]) > 1e-3
    assert found(scalars)["decoder"] == pytest.approx(anew, rel=1e-4)


def test_the_real_networks_keep_the_image_critic_from_the_encoder() -> None:
    """Whatever it weighs, the encoder's gradient stays, and the decoder's changes."""
    gradients = []
    for weight in (0.0, 5.0):
        config = configured("small", width=4, depth=3, critic_depth=3, code_width=4, image_weight=weight)
        method = build(CellAutoencoder, config.method, Sample((2, 32, 32)), 0)
        pictures = np.random.default_rng(0).integers(0, 256, (N, 2, 32, 32), np.uint8)
        store: Any = SimpleNamespace(read=lambda rows, all=pictures: all[rows], value_range=(0.0, 255.0))
        one = Trainer(config, method, Feed(store, np.arange(N), 0, torch.device("cpu")), Group())
        gradients.append(one.passes(one.turns[2], lambda shard, one=one: one._shard(shard, 0)).gradients)
    none, much = (list(each.values()) for each in gradients)
    encoders = len(list(method.encoder.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(none[:encoders], much[:encoders], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(none[encoders:], much[encoders:], strict=True))


def one_of(**keys: Any) -> CellAutoencoder:
    config = configured("small", width=4, depth=3, critic_depth=3, code_width=4, **keys)
    return build(CellAutoencoder, config.method, Sample((3, 32, 32), ("membrane", "structure", "DNA")), 0)  # type: ignore


def test_only_reference_channels_are_coded_and_made() -> None:
    method = one_of(reference=("DNA", "membrane"))
    assert method.made == (2, 0)
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    other = images.clone()
    other[:, 1] = 0.0
    assert torch.equal(method.representation(images), method.representation(other))
    again = method.reconstruction(Batch(images))
    assert again.shape == images.shape
    assert (again[:, 1] == -1).all()
    assert torch.equal(
        method.pictured(method.light(images))[:, [0, 2]].round(decimals=5), images[:, [0, 2]].round(decimals=5)
    )
    with pytest.raises(RecipeError, match=r"'tubulin' is no channel.*membrane, structure, DNA"):
        one_of(reference=("tubulin",))


def test_white_noise_is_there_in_training_alone() -> None:
    method = one_of(white_noise=0.5)
    step, values = Step(Batch(torch.zeros(4, 3, 32, 32)), 0), torch.zeros(4000)
    assert method.white(step, "real", values, "images").std().item() == pytest.approx(0.5, rel=0.1)
    assert not torch.equal(method.white(step, "real", values, "images"), method.white(step, "made", values, "images"))
    method.eval()
    assert torch.equal(method.white(step, "real", values, "images"), values)


def test_solid_cells_are_taken_as_flat_ones_are() -> None:
    config = configured("small", width=4, depth=3, critic_depth=3, critic_width=4, code_width=4)
    method = build(CellAutoencoder, config.method, Sample((2, 8, 16, 16)), 0)
    pictures = np.random.default_rng(0).integers(0, 256, (N, 2, 8, 16, 16), np.uint8)
    store: Any = SimpleNamespace(read=lambda rows: pictures[rows], value_range=(0.0, 255.0))
    one = Trainer(config, method, Feed(store, np.arange(N), 0, torch.device("cpu")), Group())
    assert all(torch.isfinite(value) for value in one.step().values())
    batch = one.feed.batch(0, 4)
    assert one.current().preview(Step(batch, 0)).shape == batch.images.shape
    assert one.current().reconstruction(batch).shape == batch.images.shape
