"""Measure outlines over all folds: every picture's, by the model that never saw its group.

Each fold of `training.cross_validate` has its predictions, its maps and their contract in a folder of its own beside
the pooled table: `group0/` to `group4/` beside `group.csv`.
"""

import re
from pathlib import Path

from dataset.checks import named
from dataset.manifest import Manifest
from evaluation.document import EvaluationError
from evaluation.outlines.map_folder import MapFolder
from evaluation.outlines.measure import MeasuredOutlines, Subject, measured_of
from evaluation.outlines.picture_sums import PictureSums
from evaluation.params import EvaluateParams
from evaluation.predicted_maps import MAPS_DIR
from evaluation.predictions import PREDICTIONS_FILE, Predictions
from project.progress import progress
from runtime.model.contract import SegmentationContract


def measure_folds(
    pooled_path: Path, pooled: Predictions, manifest: Manifest, params: EvaluateParams
) -> MeasuredOutlines:
    """Measure the outlines of all pictures of a pooled table; nothing is drawn.

    Raises EvaluationError if a picture has no map in exactly one fold or folds outline other regions, ManifestError for
    a mask and PredictionsError for a map that cannot be used.
    """
    sums: dict[str, PictureSums] = {}
    contracts: list[SegmentationContract] = []
    for folder in _fold_folders(pooled_path):
        predictions = Predictions.read(folder / PREDICTIONS_FILE)
        subject = Subject(MapFolder.open(folder / MAPS_DIR, predictions), manifest, predictions)
        contracts.append(subject.maps.contract)
        twice = sorted(set(predictions.paths) & sums.keys())
        if twice:
            raise EvaluationError(f"{folder} and an earlier fold both hold maps of {named(twice)}")
        for row in progress(range(len(predictions.paths)), f"measuring outlines of {folder.name}", unit=" pictures"):
            sums[predictions.paths[row]] = subject.measure(row)
    missing = [path for path in pooled.paths if path not in sums]
    if missing:
        raise EvaluationError(
            f"no fold beside {pooled_path} holds a map of {named(missing)}; run python -m training.cross_validate "
            "--task segmentation"
        )
    if len({(contract.regions, contract.height, contract.width) for contract in contracts}) > 1:
        raise EvaluationError(
            f"the folds beside {pooled_path} outline other regions, or at other sizes, than each other"
        )
    return measured_of(pooled, [sums[path] for path in pooled.paths], contracts, params)


def _fold_folders(pooled_path: Path) -> list[Path]:
    """Return the folders of the folds that were pooled into a table, in their order."""
    name = re.compile(rf"{re.escape(pooled_path.stem)}(\d+)")
    found = [(int(match[1]), path) for path in pooled_path.parent.iterdir() if (match := name.fullmatch(path.name))]
    return [path for _, path in sorted(found) if (path / PREDICTIONS_FILE).is_file()]
