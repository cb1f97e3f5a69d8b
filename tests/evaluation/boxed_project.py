"""The small project of evaluation's tests with true boxes, predicted boxes and a contract of detection.

Pictures are 32 x 24, twice as wide and as high as the network's input. A blowhole is a box of 6 x 6, a crack one of
20 x 2. In every test picture of the tile number 4 both are found exactly, in those of number 5 the blowhole one column
beside (IoU 5/7) and the crack not at all. Of the normal tiles' pictures those of exposure 1 raise a false alarm. In
every picture is a candidate below the threshold of 0.5: on the crack in those of tile number 5, elsewhere nowhere.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from dataset.boxes import AnnotatedBox, write_boxes
from dataset.description import DataDescription
from evaluation import predicted_boxes
from evaluation.predicted_boxes import PredictedBoxes
from evaluation.predictions import Predictions
from runtime.model.contract import DetectionContract, read_contract
from tests.evaluation.project import Project

OBJECTS = ("Blowhole", "Crack")
BLOWHOLE, CRACK = (4.0, 4.0, 10.0, 10.0), (6.0, 15.0, 26.0, 17.0)
BESIDE, ALARM, NOWHERE = (5.0, 4.0, 11.0, 10.0), (2.0, 18.0, 5.0, 21.0), (28.0, 2.0, 31.0, 4.0)


def boxes_dir(project: Project) -> Path:
    return project.root / "artifacts" / "boxes"


def box_arguments(project: Project) -> list[str]:
    """Return the arguments of `evaluation.evaluate` for a detection model."""
    arguments = project.evaluate_arguments
    place = arguments.index("--by-image")
    return [*arguments[:place], *arguments[place + 2 :], "--boxes", str(boxes_dir(project))]


def add_boxes(project: Project) -> Project:
    """Write true boxes, predicted boxes and contracts beside what is there."""
    table = project.manifest.table
    write_true_boxes(project, {row["path"]: [true_box(row["label"])] for _, row in table.iterrows() if _has(row)})
    description = DataDescription.read(project.data_dir)
    description.model_copy(update={"objects": OBJECTS}).write(project.data_dir)
    write_contract(project)
    write_found(project, Predictions.read(project.predictions_path), boxes_dir(project))
    return project


def _has(row: pd.Series) -> bool:
    return row["label"] in OBJECTS


def true_box(label: str, *, ignored: bool = False) -> AnnotatedBox:
    return AnnotatedBox(label, BLOWHOLE if label == "Blowhole" else CRACK, ignored)


def write_true_boxes(project: Project, boxes: dict[str, list[AnnotatedBox]]) -> None:
    """Write the true boxes by path."""
    write_boxes(project.data_dir, [(path, box) for path, those in boxes.items() for box in those])


def contract(project: Project, **changes: object) -> DetectionContract:
    old = read_contract(project.export_dir / "contract.json")
    fields = old.model_dump(include={"classes", "mean", "std", "lineage"})
    fields["lineage"]["data_sha256"] = project.manifest.sha256
    size = {"objects": OBJECTS, "height": 12, "width": 16, "max_boxes": 10, "threshold": 0.5}
    return DetectionContract.model_validate({**fields, **size, **changes})


def write_contract(project: Project, **changes: object) -> None:
    """Write the contract of detection into the export."""
    text = contract(project, **changes).to_json()
    (project.export_dir / "contract.json").write_text(text, encoding="utf-8")


def write_found(project: Project, predictions: Predictions, folder: Path, **changes: object) -> None:
    """Write what was found in every row of the predictions; changes: of the contract."""
    table = project.manifest.table.set_index("path")
    found = [_found(table.loc[path]) for path in predictions.paths]
    predicted_boxes.write_boxes(folder, found, contract(project, **changes))


def add_folds(project: Project) -> Path:
    """Write two folds' predictions and boxes, every second picture each, and return their pooled table."""
    table = project.manifest.table.assign(split="test")
    probs = np.full((len(table), len(project.classes)), 1 / len(project.classes))
    pooled = Predictions.from_table(table, probs, project.classes)
    path = project.root / "artifacts/cross_validation/seed0/group.csv"
    pooled.write(path)
    for fold in range(2):
        predictions = pooled.take(np.arange(fold, len(pooled.paths), 2))
        folder = path.parent / f"group{fold}"
        predictions.write(folder / "predictions.csv")
        write_found(project, predictions, folder / "boxes", threshold=0.5 + 0.01 * fold)
    return path


def _found(row: pd.Series) -> PredictedBoxes:
    is_exact, label = not row["group"].endswith("-5"), row["label"]
    least = 0.2, CRACK if label == "Crack" and not is_exact else NOWHERE, "Crack"
    found = {
        "Blowhole": [(0.9, BLOWHOLE if is_exact else BESIDE, "Blowhole"), least],
        "Crack": [(0.8, CRACK, "Crack"), least] if is_exact else [least],
        "Free": [(0.7, ALARM, "Blowhole"), least] if row["attributes.exposure"] == "1" else [least],
    }[label]
    scores, corners, names = zip(*found, strict=True)
    return PredictedBoxes(np.array(corners), np.array(scores), np.array([OBJECTS.index(name) for name in names]))
