"""How well a classifier finds its class in whole images that it has learnt nothing of, as `distgan detect` would.

    detection/average_precision   area below precision against recall
    detection/froc                mean sensitivity at 1/8 to 8 false hits per plane

A hit is right if it overlaps a known box by 0.3. The images are those of [evaluate.detection] whose group is held out
(data.split.by); what has trained is never looked at. The windows of a plane are alike, so there are no intervals.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from distgan.evaluation import Evaluation, Sets
from distgan.inference import overlays
from distgan.inference.detector import Detector
from distgan.inference.heatmaps import Frames, heatmaps
from distgan.inference.hits import LEVELS, find_hits, judged, read_truth
from distgan.method import Method
from distgan.metrics.detection import Curve
from storage.errors import RecipeError
from storage.source import open_source
from storage.split import column_values, matching

LEVEL = LEVELS[0]


class DetectionEvaluation(Evaluation):
    """Moves a classifier over whole images of held-out groups.

    Raises RecipeError: no images are named, or none of them is of a held-out group.
    """

    headline = "detection/average_precision"

    def __init__(self, sets: Sets) -> None:
        super().__init__(sets)
        if sets.detection is None or sets.held_out is None:
            raise RecipeError(
                "detection is judged in whole images of held-out groups",
                "no [evaluate.detection]" if sets.held_out else "nothing is held out",
                "Name their store and their boxes there, and set data.split.by",
            )
        self.settings = sets.detection
        store = sets.train.store
        self.card = {"dtype": store.dtype, "channels": list(store.channels), "value_range": store.value_range}
        self.source, self.listing = open_source(Path(self.settings.store))
        held_out = {str(name) for name in column_values(sets.held_out.obs, sets.split)}
        groups = [str(name) for name in column_values(self.listing.metadata, sets.split)]
        rows = np.flatnonzero(matching(self.listing.metadata, self.settings.subset) & np.isin(groups, list(held_out)))
        if not len(rows):
            wanted, found = (", ".join(sorted(names)[:5]) for names in (held_out, set(groups)))
            raise RecipeError(
                f"{self.settings.store} has no image of a held-out {sets.split}",
                f"held out are {wanted}, and the images are of {found}",
                "Name other images in evaluate.detection, or split by a column that they have",
            )
        chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), self.settings.images)).round().astype(int)]
        self.frames = Frames.of(self.listing, chosen)
        self.curve: Curve | None = None

    def before(self, method: Method) -> dict[str, float]:
        """What the untrained network finds."""
        return self.measure(method)

    def measure(self, method: Method) -> dict[str, float]:
        """Over all of these images.  Raises RecipeError: the method is no classifier, or no box is in these images."""
        detector = Detector.of(method, self.card, "", stride=self.settings.stride)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "heatmaps.ome.zarr"
            maps = heatmaps(detector, self.source, self.listing, self.frames, target, lambda done, total: None)
            found = judged(find_hits(maps), maps, read_truth(Path(self.settings.truth), maps))
        self.curve, _ = found[LEVEL]
        return {"detection/average_precision": self.curve.average_precision, "detection/froc": self.curve.froc}

    def figures(self, method: Method, images_seen: int) -> dict[str, Figure]:
        """Precision against recall, and FROC."""
        one = self.curve
        if one is None:
            return {}
        title = f"{one.known} in {one.images} planes, {images_seen:,} images seen"
        return {"detection": overlays.curves({title: one})}
