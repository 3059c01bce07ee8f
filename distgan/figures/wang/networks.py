"""The networks of figures 5 to 8: from scratch and from the critic, before training, with few labels and with all."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distgan.config.sections import Init
from distgan.data.batches import choose, to_unit_range
from distgan.engine.initialisation import initialise
from distgan.method import build
from distgan.methods.transfer_classifier import TransferClassifier
from distgan.model import Model
from distgan.networks.rosette import Critic
from distgan.plots.figure_set import Asked
from storage.errors import RecipeError
from storage.patches import PatchStore
from storage.split import column_values

WAYS = ("from scratch", "from the critic")


@dataclass(frozen=True)
class Network:
    """One of them.  way: of WAYS.  labels: samples it was trained on.  network: in evaluation mode."""

    way: str
    labels: int
    network: Critic

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.way}, " + (f"{self.labels:,} labels" if self.labels else "before training")


@dataclass(frozen=True)
class Compared:
    """networks: two rows (WAYS) of three: before training, few labels, all labels.  sources: digests.

    images: N C H W in [-1, 1], the samples that no classifier was trained on.  positive: N, whether each is of the
    class `name`, whose number is `positive_number`.
    """

    networks: tuple[tuple[Network, Network, Network], ...]
    images: Tensor
    positive: Tensor
    name: str
    positive_number: int
    sources: dict[str, str]

    @property
    def each(self) -> tuple[Network, ...]:
        """All of them, row after row."""
        return tuple(one for row in self.networks for one in row)


def compared(asked: Asked) -> Compared:
    """The networks of the settings.

    Raises RecipeError: a model is no transfer_classifier, was not trained on `labelled`, or did not begin as its key
    says.
    """
    settings = asked.settings
    gan, store = asked.find_model(settings.gan), PatchStore.open(Path(settings.labelled))
    sources = {"GAN": asked.model(settings.gan).digest, "labelled": store.digest}
    rows = []
    for way, name in zip(WAYS, ("scratch", "transfer"), strict=True):
        trained = []
        for key in (f"{name}_few", f"{name}_all"):
            model = asked.model(getattr(settings.classifiers, key))
            _check(model, key, store, sources["GAN"] if name == "transfer" else "")
            sources[key.replace("_", ", ")] = model.digest
            trained.append(Network(way, len(choose(store, model.config.data).train), _network(model)))
        few, many = (one.labels for one in trained)
        if few >= many:
            found = f"{few:,} and {many:,}"
            raise RecipeError(
                f"figures.classifiers: {name}_few has no fewer labels than {name}_all", found, "Swap them"
            )
        method = build(TransferClassifier, model.config.method, model.method.sample, model.config.run.seed)
        if name == "transfer":
            initialise(method, {"classifier": Init(model=str(gan), network="critic")})
        assert isinstance(method, TransferClassifier)
        before = method.classifier.eval().requires_grad_(False)
        rows.append((Network(way, 0, before), trained[0], trained[1]))
    held_out = choose(store, model.config.data).held_out
    assert isinstance(model.method, TransferClassifier)
    labels = np.asarray([str(one) for one in column_values(store.obs, model.config.method.column)])[held_out]
    return Compared(
        tuple(rows),
        to_unit_range(store.read(held_out), model.value_range),
        torch.from_numpy(labels == model.config.method.positive),
        model.config.method.positive,
        model.method.positive,
        sources,
    )


def layers(network: Critic) -> list[str]:
    """Names of the layers whose responses are looked at: one for each size, and the dense one."""
    return [*(f"convolution {number + 1}" for number in range(len(network.convolutions) // 3)), "dense"]


def responses(network: Critic, images: Tensor) -> dict[str, Tensor]:
    """What each layer gives, after normalisation and nonlinearity: N K H W, and N D of the dense one.

    images: N C H W in [-1, 1].
    """
    found: list[Tensor] = []
    for number, module in enumerate(network.convolutions):
        images = module(images)
        if number % 3 == 2:  # convolution, normalisation, nonlinearity
            found.append(images)
    return dict(zip(layers(network), [*found, network.dense(images)], strict=True))


def _network(model: Model) -> Critic:
    assert isinstance(model.method, TransferClassifier)
    return model.method.classifier


def _check(model: Model, key: str, store: PatchStore, gan: str) -> None:
    """gan: digest of that with whose critic it must have begun; "" of none."""
    what = f"figures.classifiers.{key}"
    if type(model.method) is not TransferClassifier:
        raise RecipeError(f"{what} is no transfer_classifier", model.config.method.name, "Name another model")
    if model.card["patch_store"] != store.digest:
        found = f"it was trained on {model.card['patch_store'][:12]}..., and figures.labelled is {store.digest[:12]}..."
        raise RecipeError(f"{what} was trained on other samples", found, "Name the store of the classifiers")
    began = model.config.init.get("classifier")
    if (began.digest if began else "") != gan:
        found = f"its [init] is {began.address or began.model} {began.digest[:12]}..." if began else "it has no [init]"
        wanted = f"with the critic of figures.gan, {gan[:12]}..." if gan else "from scratch"
        raise RecipeError(f"{what} did not begin {wanted}", found, "Name the model that did")
