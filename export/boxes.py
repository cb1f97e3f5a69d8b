"""What two detection models find in the same test pictures: the gate's figure of boxes."""

from collections.abc import Sequence

from dataset.boxes import Boxes
from dataset.checks import named
from dataset.manifest import Manifest
from evaluation.boxes.figures import NAMES, coco_of_data
from evaluation.boxes.measure import picture_boxes
from evaluation.boxes.object_table import ObjectTable
from evaluation.boxes.paired import refuse_other_truth, with_mean
from evaluation.boxes.picture_boxes import PictureBoxes, match_all
from evaluation.pages.wording import figure
from evaluation.params import EvaluateParams
from evaluation.predicted_boxes import boxes_of_outputs
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import Resampling
from runtime.model.contract import DetectionContract, Outputs
from runtime.model.preprocess import placement

_ROUNDING = 1e-9  # a drop of exactly the margin is no more than the margin


def find_ap_drops(
    before: ObjectTable, after: ObjectTable, paths: Sequence[str], max_drop: float, params: EvaluateParams
) -> tuple[str, ...]:
    """Say which average precisions over the boxes in these pictures fall by more than `max_drop`.

    Measured are the mean over the objects that the first model knows, at IoU 0.50 to 0.95, and each of them at 0.50. An
    object that is in none of these pictures has no figure. Raises EvaluationError if the two were measured against
    other true boxes.
    """
    tables = [table.at(paths).in_order_of(before.objects).known() for table in (before, after)]
    refuse_other_truth(tables[0], tables[1], ("the registered model", "this model"))
    if not len(tables[0].paths):
        return ()
    resampling = Resampling(tables[0].groups, params)
    first, second = (
        with_mean(
            coco_of_data(
                [match_all(table.pictures, place).ranking() for place in range(len(before.objects))], resampling
            )
        )
        for table in tables
    )
    pairs = [("AP, mean over objects,", 0, "ap")]
    pairs += [(f"AP 0.50 of {name}", place, "ap50") for place, name in enumerate(before.objects, start=1)]
    drops = []
    for what, place, name in pairs:
        one, another = (float(figures[place, NAMES.index(name)]) for figures in (first, second))
        if one - another > max_drop + _ROUNDING:  # false for NaN, which stands for no figure
            drops.append(f"{what} falls from {figure(one)} to {figure(another)} (by more than {max_drop:g})")
    return tuple(drops)


def lost_objects(before: ObjectTable | None, after: ObjectTable | None) -> str:
    """Name the objects that only the first of two models finds; empty if there is none."""
    if before is None or after is None:
        return ""
    lost = sorted(set(before.objects) - set(after.objects))
    return named(lost) if lost else ""


class BoxCollection:
    """Keeps what a graph finds in pictures of a manifest, batch by batch, beside what is there."""

    def __init__(self, manifest: Manifest, contract: DetectionContract) -> None:
        """Raises ManifestError for boxes that cannot be read, or that an earlier version never made."""
        self._boxes = Boxes(manifest, contract)
        table = manifest.table
        self._sizes = [(int(width), int(height)) for width, height in zip(table["width"], table["height"], strict=True)]
        self._places = {path: place for place, path in enumerate(manifest.table["path"])}
        self._contract = contract
        self._pictures: list[PictureBoxes] = []

    def add(self, paths: Sequence[str], outputs: Outputs) -> None:
        """Keep one batch's pictures, whose paths are given.

        Raises ManifestError if a true box is of what the graph does not know.
        """
        rows = [self._places[path] for path in paths]
        sizes = [self._sizes[row] for row in rows]
        found = boxes_of_outputs(outputs, [placement(width, height, self._contract) for width, height in sizes])
        for row, (width, height), boxes in zip(rows, sizes, found, strict=True):
            self._pictures.append(picture_boxes(self._boxes.in_picture(row), boxes, self._contract, width, height))

    def table(self, pictures: Predictions) -> ObjectTable:
        """Return all pictures that were added, in the order of `pictures`, which are these."""
        return ObjectTable(pictures.paths, pictures.groups, self._contract.objects, tuple(self._pictures))
