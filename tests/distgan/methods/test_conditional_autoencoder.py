"""Phase 2: what the decoder is given, what the critics are told, and that phase 1 stays as it was."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from distgan.config.run_config import config_from_tables
from distgan.data.batches import Feed, Known
from distgan.engine.distributed import Group
from distgan.engine.initialisation import initialise
from distgan.engine.trainer import Trainer
from distgan.method import Batch, Sample, Step, build
from distgan.methods.conditional_autoencoder import ConditionalAutoencoder
from storage.errors import RecipeError

N = 6
CLASSES = ("golgi", "lamin", "nucleoli")
CHANNELS = ("membrane", "structure", "DNA")
SMALL = {"width": 4, "depth": 3, "critic_width": 4, "critic_depth": 3, "code_width": 4, "latent": 5}


def configured(preset: str = "default", **keys: Any) -> Any:
    tables = {
        "run": {"name": "tiny", "images": 100} | ({} if preset in ("paper", "tables") else {"batch_size": N}),
        "data": {"store": "none"},
        "method": {"name": "conditional_autoencoder", "preset": preset, **keys},
        "evaluate": {"every_images": 96},
        "checkpoint": {"every_images": 96},
    }
    return config_from_tables(tables, "the test")


def trainer(edges: tuple[int, ...] = (32, 32), **keys: Any) -> Trainer:
    config = configured(**{**SMALL, "reference": ["membrane", "DNA"], "structure": ["structure"], **keys})
    sample = Sample((3, *edges), CHANNELS, {"structure": CLASSES})
    method = build(ConditionalAutoencoder, config.method, sample, 0)
    pictures = np.random.default_rng(0).integers(0, 256, (N, 3, *edges), np.uint8)
    store: Any = SimpleNamespace(read=lambda rows: pictures[rows], value_range=(0.0, 255.0))
    known = Known({"structure": torch.tensor([0, 1, 2, 2, 1, 0])})
    return Trainer(config, method, Feed(store, np.arange(N), 0, torch.device("cpu"), known=known), Group())


def gradients(one: Trainer, turn: int) -> dict[str, list[Tensor]]:
    found = one.passes(one.turns[turn], lambda shard: one._shard(shard, 0)).gradients
    return {
        name: [found[parameter] for parameter in one.method.network(name).parameters()]
        for name in one.turns[turn].networks
    }


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    """To what rounding does to a gradient as long as this."""
    a, b = (torch.cat([value.flatten() for value in values]).double() for values in (one, other))
    return bool((a - b).norm() < 1e-5 * a.norm())


@pytest.mark.parametrize("preset", ["paper", "tables"])
def test_the_paper_s_settings_are_the_published_ones(preset: str) -> None:
    config = configured(preset)
    method = config.method
    assert (method.class_weight, method.reference_weight, method.absent) == (1, 1, 25)
    assert (method.code_weight, method.image_weight, method.white_noise, method.latent) == (1e-4, 1e-5, 0.05, 16)
    assert (method.width, method.depth, method.critic_depth, method.code_width) == (64, 6, 5, 512)
    assert config.run.batch_size == 32
    assert {(one.lr, one.betas) for one in config.optimizer.values()} == {(2e-4, (0.5, 0.999))}


def test_channels_are_found_by_name_and_the_last_is_the_structure_by_default() -> None:
    method: Any = trainer().method
    assert (method.reference, method.structure, method.made) == ((0, 2), (1,), (0, 2, 1))
    method = trainer(reference=[], structure=[]).method
    assert (method.reference, method.structure) == ((0, 1), (2,))
    method = trainer(reference=["DNA"], structure=["structure"]).method
    assert method.made == (2, 1)
    with pytest.raises(RecipeError, match="named twice"):
        trainer(reference=["DNA"], structure=["DNA"])
    with pytest.raises(RecipeError, match="without a channel"):
        trainer(reference=[], structure=["DNA", "membrane", "structure"])


def test_there_must_be_structures_to_tell_apart() -> None:
    config = configured(**SMALL)
    with pytest.raises(RecipeError, match="no two structures in the column 'structure'"):
        build(ConditionalAutoencoder, config.method, Sample((2, 32, 32), classes={"structure": ("golgi",)}), 0)


def test_the_decoder_is_told_log_probabilities_of_nought_and_minus_25() -> None:
    method: Any = trainer().method
    given = method.given(torch.tensor([1, 0]), torch.full((2, 5), 2.0), torch.full((2, 5), 3.0))
    assert given.tolist() == [[-25, 0, -25, *[2] * 5, *[3] * 5], [0, -25, -25, *[2] * 5, *[3] * 5]]


def test_the_image_critic_has_one_class_more_for_what_is_made() -> None:
    one = trainer()
    method: Any = one.method
    step, scores = one._shard(0, 0), torch.randn(N, 4)
    own = step.batch.columns["structure"]
    assert method.image_critic.dense[1].out_features == 4
    real = -scores.log_softmax(1)[torch.arange(N), own].mean()
    assert method.surprise(scores, step, real=True).item() == pytest.approx(real.item(), rel=1e-5)
    made = -scores.log_softmax(1)[:, 3].mean()
    assert method.surprise(scores, step, real=False).item() == pytest.approx(made.item(), rel=1e-5)


def test_the_gradients_of_the_codes_are_those_of_algorithm_2() -> None:
    """The decoder's is that of a decoder whose codes are constants; the encoder's knows no image critic."""
    one = trainer(image_weight=0.7, code_weight=0.3, class_weight=2.0, reference_weight=3.0)
    method: Any = one.method
    step = one._shard(0, 0)
    found = gradients(one, 2)
    light, own = method.light(step.batch.images), step.batch.columns["structure"]
    with torch.no_grad():
        shape = method.reference_encoder.eval()(light[:, :2])[0]
    method.reference_encoder.train()
    kinds, coded, code = method.encoder(light)
    given = torch.cat([kinds.log_softmax(1), coded, code], 1)
    logits = method.decoder(given)
    ones = torch.ones(N)
    own_terms = (
        F.binary_cross_entropy_with_logits(logits, light)
        + 2 * F.nll_loss(kinds.log_softmax(1), own)
        + 3 * ((coded - shape) ** 2).mean()
        + 0.3 * F.binary_cross_entropy_with_logits(method.code_critic(code), ones)
    )
    assert same(found["encoder"], list(torch.autograd.grad(own_terms, list(method.encoder.parameters()))))
    constant = method.decoder(given.detach())
    hot = 25.0 * (torch.eye(3)[own] - 1)
    drawn = torch.cat([hot, shape, step.normal("z^s", N, 5)], 1)

    def judged(light: Tensor, name: str) -> Tensor:
        scores = method.image_critic(light, lambda values, place: method.white(step, name, values, place))
        return F.nll_loss(scores.log_softmax(1), own)

    terms = F.binary_cross_entropy_with_logits(constant, light)
    terms = terms + 0.7 * judged(constant.sigmoid(), "again")
    terms = terms + 0.7 * judged(method.decoder(drawn).sigmoid(), "drawn")
    assert same(found["decoder"], list(torch.autograd.grad(terms, list(method.decoder.parameters()))))


def test_phase_1_s_encoder_never_moves() -> None:
    one = trainer()
    before = {key: value.clone() for key, value in one.method.reference_encoder.state_dict().items()}
    for _ in range(2):
        one.step()
    after = one.method.reference_encoder.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_without_phase_1_there_is_no_phase_2() -> None:
    with pytest.raises(RecipeError, match=r"never changes its reference_encoder.*init\.reference_encoder"):
        initialise(trainer().method, {})


def test_the_structure_is_no_part_of_the_shape() -> None:
    method: Any = trainer().method
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    other = images.clone()
    other[:, 1] = 0
    assert torch.equal(method.shape(images), method.shape(other))
    assert not torch.equal(method.representation(images), method.representation(other))


def test_a_preview_is_of_the_class_and_shape_it_is_told() -> None:
    one = trainer()
    method: Any = one.current()
    batch = one.feed.batch(0, 4)
    made = method.preview(Step(batch, 0))
    other = Batch(batch.images, {"structure": (batch.columns["structure"] + 1) % 3})
    assert not torch.equal(made, method.preview(Step(other, 0)))
    blank = Batch(torch.zeros_like(batch.images))
    assert method.preview(Step(blank, 0)).shape == batch.images.shape
    codes = torch.zeros(4, 5)
    moved = Batch(batch.images.flip(0), batch.columns)
    assert not torch.equal(method.decoded(codes, batch), method.decoded(codes, moved))


def test_solid_cells_are_taken_as_flat_ones_are() -> None:
    one = trainer((8, 16, 16))
    assert all(torch.isfinite(value) for value in one.step().values())
    batch = one.feed.batch(0, 4)
    assert one.current().preview(Step(batch, 0)).shape == (4, 3, 8, 16, 16)  # type: ignore[arg-type]
