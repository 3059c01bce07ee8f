"""The loop, seen by methods small enough to be worked by hand."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from distgan.engine.nonfinite import NonFinite
from distgan.engine.trainer import Trainer
from distgan.method import Method, MethodConfig, Step, Term, Terms, Turn

MakeTrainer = Callable[..., Trainer]


class Toy(Method):
    """Two networks of one weight each; a test says which turns there are."""

    Config = MethodConfig
    networks: ClassVar[tuple[str, ...]] = ("critic", "generator")  # the names in the recipe
    averaged: ClassVar[tuple[str, ...]] = ("generator",)

    def __init__(self, *turns: Turn) -> None:
        super().__init__(None, (1, 32, 32))
        self.critic = nn.Linear(1, 1, bias=False)
        self.generator = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.critic.weight, 2.0)
        nn.init.constant_(self.generator.weight, 3.0)
        self.given = turns
        self.seen: list[dict[str, float]] = []

    def turns(self) -> tuple[Turn, ...]:
        return self.given

    def after_step(self, terms: Terms) -> None:
        self.seen.append({name: value.item() for name, value in terms.items()})

    def preview(self, step: Step) -> Tensor:
        raise NotImplementedError

    @property
    def weights(self) -> tuple[float, float]:
        return self.critic.weight.item(), self.generator.weight.item()


@pytest.fixture
def sgd(tables: dict[str, Any]) -> dict[str, Any]:
    """A recipe by which a weight moves by minus a tenth of its gradient."""
    return tables | {"optimizer": {"kind": "sgd", "lr": 0.1, "betas": [0.0, 0.9]}}


def test_a_term_goes_into_the_networks_it_names_and_no_others(sgd: dict[str, Any], make_trainer: MakeTrainer) -> None:
    toy = Toy()

    def loss(step: Step) -> Mapping[str, Tensor | Term]:
        product = toy.critic(toy.generator(torch.ones(1, 1))).sum()  # 2 x 3, one forward pass
        return {
            "both": product,
            "one": Term(10 * product, into=("generator",)),
            "also both": Term(100 * product, into=("critic", "generator")),
        }

    toy.given = (Turn("all", ("critic", "generator"), loss),)
    terms = make_trainer(sgd, method=toy).step()
    assert toy.weights == pytest.approx((2 - 0.1 * 101 * 3, 3 - 0.1 * 111 * 2))
    assert {name: value.item() for name, value in terms.items()} == {"both": 6, "one": 60, "also both": 600}


def test_a_turn_moves_its_own_networks_alone(sgd: dict[str, Any], make_trainer: MakeTrainer) -> None:
    toy = Toy()
    toy.given = (Turn("critic", ("critic",), lambda _: {"l": toy.critic(toy.generator(torch.ones(1, 1))).sum()}),)
    make_trainer(sgd, method=toy).step()
    assert toy.weights == pytest.approx((2 - 0.1 * 3, 3))
    assert toy.generator.weight.grad is None


@pytest.mark.parametrize("fails", [False, True])
def test_frozen_parameters_stay_frozen_and_the_others_are_thawed_after_a_turn(
    sgd: dict[str, Any], make_trainer: MakeTrainer, fails: bool
) -> None:
    toy = Toy()
    toy.fixed = nn.Linear(1, 1)
    toy.fixed.requires_grad_(False)

    def loss(step: Step) -> Mapping[str, Tensor]:
        flags.append([p.requires_grad for p in toy.parameters()])
        if fails:
            raise ZeroDivisionError
        return {"l": toy.critic(torch.ones(1, 1)).sum()}

    flags: list[list[bool]] = []
    toy.given = (Turn("critic", ("critic",), loss),)
    trainer = make_trainer(sgd, method=toy)
    if fails:
        with pytest.raises(ZeroDivisionError):
            trainer.step()
    else:
        trainer.step()
    assert flags[0] == [True, False, False, False]
    assert [p.requires_grad for p in toy.parameters()] == [True, True, False, False]


def test_repeats_share_the_batch_and_each_moves_the_weights(sgd: dict[str, Any], make_trainer: MakeTrainer) -> None:
    toy, calls = Toy(), []

    def loss(step: Step) -> Mapping[str, Tensor]:
        calls.append((step.repeat, step.shard, step.images_seen, step.batch.images.sum().item()))
        return {"l": toy.critic(torch.ones(1, 1)).sum()}

    toy.given = (Turn("critic", ("critic",), loss, times=3),)
    trainer = make_trainer(sgd, method=toy)
    trainer.step()
    assert [call[:3] for call in calls] == [(repeat, shard, 0) for repeat in range(3) for shard in range(2)]
    assert len({call[3] for call in calls}) == 2  # the two shards
    assert toy.weights[0] == pytest.approx(2 - 3 * 0.1)
    assert trainer.images_seen == 8


def test_a_turn_is_taken_at_every_nth_batch_and_images_count_once(
    sgd: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    toy = Toy()
    toy.given = (
        Turn("critic", ("critic",), lambda _: {"c": toy.critic(torch.ones(1, 1)).sum()}),
        Turn("generator", ("generator",), lambda _: {"g": toy.generator(torch.ones(1, 1)).sum()}, every=3),
    )
    trainer = make_trainer(sgd, method=toy)
    for _ in range(7):
        trainer.step()
    assert ["g" in terms for terms in toy.seen] == [False, False, True, False, False, True, False]
    assert toy.weights == pytest.approx((2 - 0.7, 3 - 0.2))
    assert (trainer.images_seen, trainer.steps) == (56, 7)


def test_terms_and_gradients_are_means_over_the_shards(sgd: dict[str, Any], make_trainer: MakeTrainer) -> None:
    toy = Toy()
    toy.given = (Turn("critic", ("critic",), lambda s: {"l": (1 + 4 * s.shard) * toy.critic(torch.ones(1, 1)).sum()}),)
    terms = make_trainer(sgd, method=toy).step()
    assert toy.seen == [{"l": 6.0}]  # the mean of 1 x 2 and 5 x 2
    assert terms["l"].item() == 6.0
    assert toy.weights[0] == pytest.approx(2 - 0.1 * 3)


def test_running_statistics_move_by_the_mean_of_what_each_shard_moves_them(
    sgd: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    toy = Toy()
    toy.critic = nn.Sequential(nn.BatchNorm1d(1, momentum=0.5), nn.Linear(1, 1))
    toy.given = (
        Turn("critic", ("critic",), lambda s: {"l": toy.critic(torch.tensor([[-1.0], [1.0]]) + 4 * s.shard).sum()}),
    )
    make_trainer(sgd, method=toy).step()
    norm = toy.critic[0]
    assert norm.running_mean.item() == 1.0  # half way from 0 to the mean of 0 and 4
    assert norm.running_var.item() == 1.5  # half way from 1 to 2
    assert norm.num_batches_tracked.item() == 1


def test_the_shards_of_the_steps_are_the_stream_of_samples(sgd: dict[str, Any], make_trainer: MakeTrainer) -> None:
    toy, shown = Toy(), []

    def loss(step: Step) -> Mapping[str, Tensor]:
        shown.append(step.batch.images)
        return {"l": toy.critic(torch.ones(1, 1)).sum()}

    toy.given = (Turn("critic", ("critic",), loss),)
    trainer = make_trainer(sgd, method=toy)
    for _ in range(6):  # 48 of 40 samples: over the end of an epoch
        trainer.step()
    assert {len(part) for part in shown} == {4}
    assert torch.equal(torch.cat(shown), trainer.feed.batch(0, 48).images)


def test_the_average_forgets_by_half_lives_and_begins_with_short_ones(
    sgd: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    toy = Toy()
    toy.given = (Turn("generator", ("generator",), lambda _: {"g": toy.generator(torch.ones(1, 1)).sum()}),)
    trainer = make_trainer(sgd | {"ema": {"half_life_images": 6}}, method=toy)
    wanted, weight = 3.0, 3.0
    for step in range(1, 15):
        trainer.step()
        weight -= 0.1
        keep = 0.5 ** (8 / min(6, max(8 * step // 10, 1)))
        wanted = keep * wanted + (1 - keep) * weight
        assert trainer.average.generator.weight.item() == pytest.approx(wanted, rel=1e-5)
    assert trainer.average.critic.weight.item() == 2.0


def test_the_average_has_the_running_statistics_too(tables: dict[str, Any], make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(tables)
    trainer.step()
    trainer.step()
    now, then = trainer.method.generator.state_dict(), trainer.average.generator.state_dict()
    assert then["dense.1.num_batches_tracked"] == now["dense.1.num_batches_tracked"] > 0
    assert not torch.equal(then["dense.1.running_mean"], torch.zeros_like(then["dense.1.running_mean"]))
    assert not any(p.requires_grad for p in trainer.average.parameters())
    assert not trainer.average.training


def test_the_learning_rate_follows_the_images_seen(sgd: dict[str, Any], make_trainer: MakeTrainer) -> None:
    toy = Toy()
    toy.given = (Turn("critic", ("critic",), lambda _: {"c": toy.critic(torch.ones(1, 1)).sum()}),)
    sgd["optimizer"]["schedule"] = "linear"
    trainer = make_trainer(sgd, method=toy)
    moved = []
    for _ in range(16):
        before = toy.weights[0]
        trainer.step()
        moved.append(before - toy.weights[0])
    assert moved == pytest.approx([0.1 * (1 - step / 16) for step in range(16)], abs=1e-6)


def test_a_weight_learns_at_its_own_part_of_the_rate(sgd: dict[str, Any], make_trainer: MakeTrainer) -> None:
    class Slow(Toy):
        def rate(self, network: str, weight: str) -> float:
            return 0.5 if (network, weight) == ("critic", "weight") else 1.0

    toy = Slow()
    both = ("critic", "generator")
    toy.given = (Turn("all", both, lambda step: {"sum": (toy.critic.weight + toy.generator.weight).sum()}),)
    make_trainer(sgd | {"optimizer": sgd["optimizer"] | {"schedule": "constant"}}, method=toy).step()
    assert toy.weights == pytest.approx((2 - 0.05, 3 - 0.1))


def test_training_ends_when_the_images_are_seen_or_the_observer_says_so(
    sgd: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    toy = Toy()
    toy.given = (Turn("critic", ("critic",), lambda _: {"c": toy.critic(torch.ones(1, 1)).sum()}),)
    trainer = make_trainer(sgd, method=toy)
    trainer.fit(lambda trainer, terms: trainer.steps < 3)
    assert trainer.steps == 3
    trainer.fit(lambda trainer, terms: True)
    assert (trainer.steps, trainer.images_seen, trainer.done) == (16, 128, True)


# state that is no weight, and turns that are not taken


class Remembering(Toy):
    """A toy with a buffer that `after_step` moves, as the k of BEGAN, and a state of each shard."""

    def __init__(self, *turns: Turn) -> None:
        super().__init__(*turns)
        self.register_buffer("k", torch.tensor(0.5))

    def shard_state(self) -> Mapping[str, Tensor]:
        return {"sum": torch.tensor(0.0)}

    def after_step(self, terms: Terms) -> None:
        super().after_step(terms)
        self.k += 0.1 * terms["l"]


def remembering(wrong: Callable[[Step], bool] = lambda _: False) -> Remembering:
    """Its critic's slope is k, and not a number where a test says so; its state adds up 1 + shard."""

    def loss(step: Step) -> Mapping[str, Tensor]:
        step.state["sum"] = step.state["sum"] + 1 + step.shard
        factor = toy.k * (float("nan") if wrong(step) else 1)
        return {"l": factor * toy.critic(torch.ones(1, 1)).sum()}

    toy = Remembering()
    toy.given = (Turn("critic", ("critic",), loss, times=2),)
    return toy


def test_what_after_step_moves_is_saved_and_counts_at_the_next_step(
    sgd: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    whole, first = make_trainer(sgd, method=remembering()), make_trainer(sgd, method=remembering())
    whole.step()
    w = 2 - 2 * 0.1 * 0.5
    assert whole.method.k.item() == pytest.approx(0.5 + 0.1 * 0.5 * (w + 0.05))  # by the last of the repeats
    first.step()
    state = first.collect()
    assert state["method.k"] == whole.method.k
    resumed = make_trainer(sgd, method=remembering())
    resumed.restore(state, 1)
    assert resumed.digest() == whole.digest()
    resumed.step()
    whole.step()
    assert resumed.digest() == whole.digest()
    resumed.restore(state | {"method.k": torch.tensor(0.5)}, 1)
    resumed.step()
    assert resumed.digest() != whole.digest()


def test_each_shard_has_a_state_of_its_own_that_is_part_of_the_digest(
    sgd: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(sgd, method=remembering())
    for _ in range(3):
        trainer.step()
    state = trainer.collect()
    assert [state[f"shard.{shard}.sum"].item() for shard in range(2)] == [6.0, 12.0]
    before = trainer.digest()
    trainer.shards.own[1]["sum"] += 1
    assert trainer.digest() != before


def test_a_skipped_turn_moves_nothing_and_the_next_goes_on(sgd: dict[str, Any], make_trainer: MakeTrainer) -> None:
    sgd["run"]["on_nonfinite"] = "skip"
    toy = remembering(lambda step: (step.images_seen, step.repeat, step.shard) == (8, 1, 1))
    trainer = make_trainer(sgd, method=toy)
    trainer.step()
    k, weight = toy.k.item(), toy.weights[0]
    trainer.step()
    assert toy.k.item() == k  # its terms are not all there
    assert toy.weights[0] == pytest.approx(weight - 0.1 * k)  # the first of the repeats
    assert trainer.collect()["shard.0.sum"] == 3
    assert (trainer.steps, trainer.counters()["skipped"]) == (2, 1)
    assert len(toy.seen) == 1
    trainer.step()
    assert toy.k.item() > k
    assert len(toy.seen) == 2


def test_turns_that_were_skipped_are_counted_on_after_a_restart(sgd: dict[str, Any], make_trainer: MakeTrainer) -> None:
    sgd["run"]["on_nonfinite"] = "skip"
    trainer = make_trainer(sgd, method=remembering(lambda _: True))
    trainer.step()
    again = make_trainer(sgd, method=remembering())
    again.restore(trainer.collect(), trainer.steps, trainer.counters()["skipped"])
    assert again.digest() == trainer.digest()
    assert again.counters()["skipped"] == 2


@pytest.mark.parametrize("policy", ["stop", "rewind"])
def test_a_run_that_shall_not_go_on_says_where_and_has_moved_nothing(
    sgd: dict[str, Any], make_trainer: MakeTrainer, policy: str
) -> None:
    sgd["run"]["on_nonfinite"] = policy
    trainer = make_trainer(sgd, method=remembering(lambda step: step.images_seen == 8))
    trainer.step()
    before = trainer.digest()
    with pytest.raises(NonFinite) as caught:
        trainer.step()
    assert caught.value.found == "the term l is not a finite number in turn critic after 8 images"
    assert caught.value.images_seen == 8
    assert trainer.digest() == before
    trainer.judge.excused.add(8)
    if policy == "rewind":
        trainer.step()
        assert trainer.counters()["skipped"] == 2


def test_a_device_that_is_not_waited_for_tells_of_the_first_fault_later(
    sgd: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(sgd, method=remembering(lambda step: step.images_seen >= 16))
    trainer.judge.looks_later = True
    for _ in range(2):
        trainer.step()
    trainer.judge.look()
    for _ in range(3):
        trainer.step()
    with pytest.raises(NonFinite, match="in turn critic after 16 images"):
        trainer.judge.look()


# waiting for the device


class Looked(Exception):
    """A number was read from a tensor: on a GPU, all that was asked of it must be done first."""


class NobodyLooks(TorchDispatchMode):
    """Whoever turns a tensor into a number, or makes a shape of its values, is stopped."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keys: Any = None) -> Any:
        if function._overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero):
            raise Looked
        return function(*arguments, **(keys or {}))


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_steps_do_not_wait_for_a_device(
    tables: dict[str, Any], make_trainer: MakeTrainer, norm: str, kind: str
) -> None:
    tables["method"] |= {"critic_norm": norm, "decay": 0.1, "penalty_every": 2}
    trainer = make_trainer(tables | {"optimizer": {"kind": kind, "schedule": "linear"}})
    trainer.judge.looks_later = True  # as on a GPU
    with NobodyLooks():
        for _ in range(4):
            terms = trainer.step()
        with pytest.raises(Looked):
            trainer.judge.look()
        with pytest.raises(Looked):
            float(terms["distance"])


def test_who_watches_sees_each_term_as_it_was_last_found(sgd: dict[str, Any], make_trainer: MakeTrainer) -> None:
    toy, seen = Toy(), []
    toy.given = (
        Turn("critic", ("critic",), lambda _: {"c": toy.critic(torch.ones(1, 1)).sum()}),
        Turn("generator", ("generator",), lambda _: {"g": toy.generator(torch.ones(1, 1)).sum()}, every=3),
    )
    trainer = make_trainer(sgd, method=toy)

    def observe(trainer: Trainer, terms: Terms) -> bool:
        seen.append({name: round(value.item(), 3) for name, value in terms.items()})
        return trainer.steps < 7

    trainer.fit(observe)
    assert [one.get("g") for one in seen] == [None, None, 3.0, 3.0, 3.0, 2.9, 2.9]
    assert [one["c"] for one in seen] == [2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4]
    assert set(trainer.gradient_norms) == {"critic", "generator"}
