"""Measure boxes over all folds: every picture's, by the model that never saw its group.

Each fold of `training.cross_validate` has its predictions and its boxes with their contract in a folder of its own
beside the pooled table, as `evaluation.outlines.over_folds` says of maps.
"""

from collections.abc import Iterator
from pathlib import Path

from dataset.manifest import Manifest
from evaluation.boxes.measure import MeasuredBoxes, Subject, measured_of
from evaluation.boxes.picture_boxes import PictureBoxes
from evaluation.document import EvaluationError
from evaluation.outlines.over_folds import over_folds
from evaluation.params import EvaluateParams
from evaluation.predicted_boxes import BOXES_DIR, BoxTable
from evaluation.predictions import Predictions
from runtime.model.contract import DetectionContract


def measure_folds(pooled_path: Path, pooled: Predictions, manifest: Manifest, params: EvaluateParams) -> MeasuredBoxes:
    """Measure the boxes of all pictures of a pooled table; nothing is drawn.

    Raises EvaluationError if a picture is not in exactly one fold or folds find other objects, ManifestError and
    PredictionsError for boxes that cannot be used.
    """

    def read(folder: Path, predictions: Predictions) -> tuple[DetectionContract, Iterator[PictureBoxes]]:
        table = BoxTable.read(folder / BOXES_DIR)
        table.refuse_other_predictions(predictions)
        subject = Subject(table, manifest, predictions)
        return table.contract, map(subject.read, range(len(predictions.paths)))

    pictures, contracts = over_folds(pooled_path, pooled, read, "boxes", "detection")
    if len({contract.objects for contract in contracts}) > 1:
        raise EvaluationError(f"the folds beside {pooled_path} find other objects than each other")
    return measured_of(pooled, pictures, contracts, params)
