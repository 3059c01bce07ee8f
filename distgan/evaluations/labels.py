"""How like real ones the label images are that a method makes, told by numbers that need no network.

    area_error           mean over structures of |area of made - area of real| / area of real
    area/NAME            share of the pixels that belong to the structure in what is made; area_real/NAME
    length/NAME          pairs of neighbouring pixels of which one does, per pixel; length_real/NAME
    diversity/NAME       1 - IU of two samples of other noise, mean over pairs; diversity_real/NAME of real images

Real are the held-out label images, or the training images if none are held out. Areas are small numbers of large
images: a method can have them right, and all else wrong.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from distgan.evaluation import Evaluation, Sets
from distgan.families.tissue import Labelling, Pairing
from distgan.method import Method, Step
from distgan.plots import image_plots
from storage.errors import RecipeError

BATCH, SHOWN = 16, 16


class LabelsEvaluation(Evaluation):
    """Compares label images, always of the same noise.  Raises RecipeError: no labels come along."""

    headline = "area_error"
    lower = ("area_error",)

    def __init__(self, sets: Sets) -> None:
        super().__init__(sets)
        self.names = sets.sample.labels
        if not self.names:
            raise RecipeError(
                "label images are compared with real ones",
                "no labels come along",
                "Take a method with structures (label_gan, joint_gan, sgan, dsgan)",
            )
        feed = sets.held_out or sets.train
        random = np.random.Generator(np.random.Philox(key=[sets.seed, 2]))
        self.real = feed.rows(random.permutation(len(feed.images))[: sets.samples])
        self.truth = torch.stack([self.real.labels[name] > 0 for name in self.names], 1)

    def measure(self, method: Method) -> dict[str, float]:
        """Areas, lengths and diversity, of what is made and of what is real."""
        made = torch.cat([labels for _, labels in self._made(method, len(self.real))]) > 0
        found: dict[str, float] = {}
        errors = []
        for number, name in enumerate(self.names):
            of_made, of_real = (shape_of(labels[:, number]) for labels in (made, self.truth))
            errors.append(abs(of_made["area"] - of_real["area"]) / max(of_real["area"], 1e-9))
            found |= {f"{key}/{name}": value for key, value in of_made.items()}
            found |= {f"{key}_real/{name}": value for key, value in of_real.items()}
        return {"area_error": float(np.mean(errors)), **found}

    def figures(self, method: Method, images_seen: int) -> dict[str, Figure]:
        """Made labels with their images beside real ones."""
        images, labels = next(self._made(method, SHOWN))
        made, real = painted(images, labels), painted(self.real.images[:SHOWN], 2.0 * self.truth[:SHOWN] - 1)
        panels = {f"made, {images_seen:,} images seen": made, "real": real}
        return {"pairs": image_plots.side_by_side({title: of.cpu().numpy() for title, of in panels.items()}, columns=4)}

    @torch.no_grad()
    def _made(self, method: Method, count: int) -> Iterator[tuple[Tensor | None, Tensor]]:
        for shard, start in enumerate(range(0, count, BATCH)):
            batch = self.real.part(slice(start, min(start + BATCH, count)))
            step = Step(batch, 0, shard, seed=self.sets.seed)
            yield made_of(method, step)


def made_of(method: Method, step: Step) -> tuple[Tensor | None, Tensor]:
    """Images N C H W, if there are any, and labels N L H W, both in [-1, 1].

    Raises RecipeError: the method makes no labels.
    """
    if isinstance(method, Pairing):
        return method.pairs(step)
    if isinstance(method, Labelling):
        return None, method.label_images(step)
    raise RecipeError(
        f"{method.config.name} makes no label images",
        "evaluate.metrics names labels",
        "Take label_gan, joint_gan, unsupervised_gan, sgan or dsgan",
    )


def shape_of(structure: Tensor) -> Mapping[str, float]:
    """Area, length and diversity of a structure, as this file says.  structure: N H W, booleans."""
    edges = (structure[:, 1:] != structure[:, :-1]).sum() + (structure[:, :, 1:] != structure[:, :, :-1]).sum()
    both = (structure[1:] & structure[:-1]).sum((1, 2))
    either = (structure[1:] | structure[:-1]).sum((1, 2))
    overlap = torch.where(either > 0, both / either.clamp(min=1), 1.0)
    return {
        "area": structure.double().mean().item(),
        "length": (edges / structure.numel()).item(),
        "diversity": 1 - overlap.double().mean().item(),
    }


def painted(images: Tensor | None, labels: Tensor) -> Tensor:
    """Labels in red, green and blue, and to the right of them their images in grey: N 3 H 2W in [-1, 1]."""
    colours = torch.full((len(labels), 3, *labels.shape[2:]), -1.0, device=labels.device)
    colours[:, : min(labels.shape[1], 3)] = labels[:, :3]
    if images is None:
        return colours
    return torch.cat([colours, images.mean(1, keepdim=True).expand(-1, 3, -1, -1)], 3)
