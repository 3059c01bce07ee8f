"""Named noise, and initial weights that depend on their seed alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from distgan.method import Batch, Sample, Step, build
from distgan.methods import load_method, method_names
from storage.errors import RecipeError

HERE = {"images_seen": 64, "shard": 1, "repeat": 0, "seed": 5}


def step(**changed: Any) -> Step:
    return Step(Batch(torch.zeros(2, 1, 4, 4)), **(HERE | changed))


def normal(one: Step, name: str = "z") -> Tensor:
    return one.normal(name, 3, 4)


def uniform(one: Step, name: str = "z") -> Tensor:
    return one.uniform(name, 3, 4)


@pytest.mark.parametrize("draw", [normal, uniform])
class TestNoise:
    def test_the_same_name_is_the_same_draw_in_every_turn(self, draw: Callable[..., Tensor]) -> None:
        one = step()
        first = draw(one)
        draw(one, "something else")
        assert torch.equal(draw(one), first)
        assert torch.equal(draw(step(repeat=3)), first)  # a turn that wants fresh noise says so by its name

    @pytest.mark.parametrize("changed", [{"images_seen": 65}, {"shard": 2}, {"seed": 6}])
    def test_it_differs_from_step_to_step_shard_to_shard_and_seed_to_seed(
        self, draw: Callable[..., Tensor], changed: dict[str, int]
    ) -> None:
        assert not torch.equal(draw(step(**changed)), draw(step()))

    def test_another_name_is_another_draw(self, draw: Callable[..., Tensor]) -> None:
        assert not torch.equal(draw(step(), "mix"), draw(step()))

    def test_numbers_that_run_together_when_joined_are_told_apart(self, draw: Callable[..., Tensor]) -> None:
        assert not torch.equal(draw(step(images_seen=6, shard=41)), draw(step(images_seen=64, shard=1)))

    def test_torch_s_own_generator_neither_matters_nor_moves(self, draw: Callable[..., Tensor]) -> None:
        torch.manual_seed(1)
        first, before = draw(step()), torch.random.get_rng_state()
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(2)
        assert torch.equal(draw(step()), first)


def test_noise_has_the_moments_it_should_have() -> None:
    normal, uniform = step().normal("z", 100_000), step().uniform("z", 100_000)
    assert abs(normal.mean().item()) < 0.02
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    assert 0 <= uniform.min().item() < 0.001
    assert 0.999 < uniform.max().item() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)


def test_shards_of_one_batch_draw_noise_that_is_not_correlated() -> None:
    one, other = (step(shard=shard).normal("z", 100_000) for shard in (0, 1))
    assert abs((one * other).mean().item()) < 0.02


def test_initial_weights_depend_on_the_seed_alone() -> None:
    kind = load_method("wgan_gp")
    config = kind.Config(name="wgan_gp", width=4, critic_width=4)  # type: ignore[call-arg]

    def weights(seed: int) -> Tensor:
        return torch.cat([p.flatten() for p in build(kind, config, Sample((1, 32, 32)), seed).parameters()])

    torch.manual_seed(1)
    first, before = weights(7), torch.random.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(weights(7), first)
    assert not torch.equal(weights(8), first)
    torch.manual_seed(1)
    weights(7)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        load_method("wgangp")
    assert all(name in caught.value.found for name in method_names())


def test_images_that_are_not_square_are_refused_before_training() -> None:
    kind = load_method("wgan_gp")
    with pytest.raises(RecipeError, match="square"):
        build(kind, kind.Config(name="wgan_gp"), Sample((1, 32, 64)), 0)
