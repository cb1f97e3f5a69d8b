"""Measure boxes over all folds: every picture's, by the model that never saw its group.

Each fold of `training.cross_validate` has its predictions and its boxes with their contract in a folder of its own
beside the pooled table, as `evaluation.outlines.over_folds` says of maps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset.manifest import Manifest
from evaluation.boxes.measure import MeasuredBoxes, Subject, measured_of
from evaluation.boxes.picture_boxes import PictureBoxes
from evaluation.document import EvaluationError
from evaluation.outlines.over_folds import over_folds, pooled_of_seeds
from evaluation.params import EvaluateParams
from evaluation.predicted_boxes import BOXES_DIR, BoxTable
from evaluation.predictions import Predictions
from runtime.model.contract import DetectionContract


@dataclass(frozen=True)
class FoldBoxes:
    """The boxes of the N pictures of a pooled table, and the contracts of the models that answered them."""

    pooled: Predictions
    pictures: list[PictureBoxes]
    contracts: tuple[DetectionContract, ...]

    def measure(self, params: EvaluateParams) -> MeasuredBoxes:
        """Return the figures; nothing is drawn."""
        return measured_of(self.pooled, self.pictures, self.contracts, params)


def read_folds(pooled_path: Path, pooled: Predictions, manifest: Manifest) -> FoldBoxes:
    """Read the true boxes and the models' of all pictures of a pooled table.

    Raises EvaluationError if a picture is not in exactly one fold or folds find other objects, ManifestError and
    PredictionsError for boxes that cannot be used.
    """

    def read(folder: Path, predictions: Predictions) -> tuple[DetectionContract, Iterator[PictureBoxes]]:
        table = BoxTable.read(folder / BOXES_DIR)
        table.refuse_other_predictions(predictions)
        subject = Subject(table, manifest, predictions)
        return table.contract, map(subject.read, range(len(predictions.paths)))

    pictures, contracts = over_folds(pooled_path, pooled, read, "boxes", "detection")
    _refuse_other_objects(contracts, f"the folds beside {pooled_path}")
    return FoldBoxes(pooled, pictures, contracts)


def pool_seeds(seeds: Mapping[int, FoldBoxes]) -> FoldBoxes:
    """Join the answers of several seeds; a path begins with its seed's number then. Raises EvaluationError as above."""
    contracts = tuple(contract for one in seeds.values() for contract in one.contracts)
    _refuse_other_objects(contracts, "the seeds")
    pooled = pooled_of_seeds({seed: one.pooled for seed, one in seeds.items()})
    return FoldBoxes(pooled, [boxes for one in seeds.values() for boxes in one.pictures], contracts)


def _refuse_other_objects(contracts: Sequence[DetectionContract], of: str) -> None:
    if len({contract.objects for contract in contracts}) > 1:
        raise EvaluationError(f"{of} find other objects than each other")
