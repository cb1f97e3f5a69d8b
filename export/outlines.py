"""How much of what is there two segmentation models outline, on the same test pictures: the gate's figure of pixels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dataset.annotations import Masks
from dataset.manifest import Manifest
from evaluation.outlines.map_folder import answered_regions
from evaluation.outlines.overlap import dice_of
from evaluation.outlines.picture_sums import measure_picture, tolerance_of
from evaluation.outlines.region_table import RegionTable
from evaluation.predictions import Predictions
from export.drops import Compared, drops_beyond
from runtime.model.contract import FOREGROUND, REGION_MAP, Outputs, SegmentationContract


def find_dice_drops(before: RegionTable, after: RegionTable, paths: Sequence[str], max_drop: float) -> tuple[str, ...]:
    """Say by which regions Dice, pooled over the pixels of these pictures, falls by more than `max_drop`.

    Measured are any region, where both models know the same, and each that the first one knows. A region that no mask
    marks in these pictures has no figure. Each model is measured at the size of its own input.
    """
    tables = [table.at(paths) for table in (before, after)]
    names = [name for name in before.regions if name in after.regions]
    columns = [(f"Dice of {name}", [1 + table.regions.index(name) for table in tables]) for name in names]
    if set(before.regions) == set(after.regions):
        columns.insert(0, ("Dice of any region", [0, 0]))
    first, second = tables
    return drops_beyond(
        Compared(what, _dice(first, place), _dice(second, other), max_drop) for what, (place, other) in columns
    )


def _dice(table: RegionTable, place: int) -> float:
    return float(dice_of(table.pixels[:, place].sum(axis=0).astype(np.float64)))


class PixelCounts:
    """Counts what a graph outlines in pictures of a manifest, batch by batch."""

    def __init__(self, manifest: Manifest, contract: SegmentationContract) -> None:
        """Raises ManifestError for masks that an earlier version loaded."""
        self._masks = Masks(manifest, contract)
        self._sizes = manifest.table[["width", "height"]].to_numpy(dtype=int)
        self._places = {path: place for place, path in enumerate(manifest.table["path"])}
        self._contract = contract
        self._known: list[int] = []
        self._pixels: list[npt.NDArray[np.int64]] = []

    def add(self, paths: Sequence[str], outputs: Outputs) -> None:
        """Count one batch's pictures, whose paths are given.

        Raises ManifestError if a mask cannot be read or marks what the graph does not know.
        """
        contract = self._contract
        tolerance_px = tolerance_of(contract.height, contract.width)
        for path, region_map, foreground in zip(paths, outputs[REGION_MAP], outputs[FOREGROUND], strict=True):
            place = self._places[path]
            answer = answered_regions(region_map, foreground, contract, *self._sizes[place].tolist())
            truth = self._masks.read(place)
            sums = measure_picture(truth, answer, foreground, len(contract.regions), tolerance_px)
            self._known.append(sums.num_known_px)
            self._pixels.append(sums.pixels)

    def table(self, pictures: Predictions) -> RegionTable:
        """Return the counts of all pictures that were added, in the order of `pictures`, which are these."""
        known = np.asarray(self._known, dtype=np.int64)
        return RegionTable(pictures.paths, pictures.groups, self._contract.regions, known, np.stack(self._pixels))
