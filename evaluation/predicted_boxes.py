"""What a detection model found in each picture, on disk: `boxes.csv` for the rows of `predictions.csv`.

Its columns are `row,object,score,left,top,right,bottom`: the row of the predictions, counted from 0, the object's name,
and the box in pixels of the upright picture, those of a picture one below the other, the best first. All candidates of
the network are in it whose score is above `LEAST_SCORE`, also below the contract's threshold, for average precision
asks about them all. Beside it lies `contract.json`, which names the objects and holds the threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.predictions import Predictions, PredictionsError
from project.write_whole import write_whole
from runtime.model.contract import (
    BOXES,
    CONTRACT_FILE,
    OBJECTS,
    SCORES,
    ContractError,
    DetectionContract,
    Outputs,
    read_contract,
)
from runtime.model.placed_boxes import boxes_in_picture, is_in_picture
from runtime.model.preprocess import Placement

BOXES_DIR = "boxes"
BOXES_FILE = "boxes.csv"
LEAST_SCORE = 0.01  # a candidate must score more to be kept
REMEDY = "run python -m training.predict --task detection"
_COLUMNS = ["row", "object", "score", "left", "top", "right", "bottom"]
_CORNERS = _COLUMNS[3:]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class PredictedBoxes(NamedTuple):
    """The candidates of one picture, the best first.

    corners: `(n, 4)` float64 left, top, right, bottom in pixels of the upright picture. scores: `(n,)` float64 in
    [0, 1]. objects: `(n,)` int64, an index into the contract's `objects`.
    """

    corners: FloatArray
    scores: FloatArray
    objects: IntArray

    def take(self, which: npt.NDArray[np.intp] | slice) -> Self:
        """Return the candidates at these positions, in that order."""
        return type(self)(self.corners[which], self.scores[which], self.objects[which])


NO_BOXES = PredictedBoxes(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))


def boxes_of_outputs(outputs: Outputs, places: Sequence[Placement]) -> list[PredictedBoxes]:
    """Return what a graph found in each of N pictures, brought to their own pixels as the service does.

    outputs: `boxes` `(N, K, 4)`, `scores` `(N, K)` and `objects` `(N, K)` as `DetectionContract` says. places: where
    each picture lies in the network's input. Candidates that score `LEAST_SCORE` or less, or that lie outside of the
    picture, are left out.
    """
    rows = zip(outputs[BOXES], outputs[SCORES], outputs[OBJECTS], places, strict=True)
    found = []
    for boxes, scores, objects, place in rows:
        corners = boxes_in_picture(boxes, place)
        kept = np.flatnonzero((scores > LEAST_SCORE) & is_in_picture(corners))
        stated = np.clip(scores[kept].astype(np.float64), 0, 1)
        found.append(PredictedBoxes(corners[kept], stated, objects[kept].astype(np.int64)))
    return found


def write_boxes(folder: Path, predictions: Sequence[PredictedBoxes], contract: DetectionContract) -> None:
    """Write what was found in each row's picture, in the order of `predictions.csv`, and last the contract beside it.

    Raises ValueError if a box is not finite or has no area, a score is not in [0, 1], scores do not fall, or an object
    is none of the contract's.
    """
    for row, found in enumerate(predictions):
        problem = _problem(found, len(contract.objects))
        if problem:
            raise ValueError(f"row {row}: {problem}")
    corners, scores, objects = (np.concatenate(parts) for parts in zip(NO_BOXES, *predictions, strict=True))
    names = np.asarray(contract.objects, dtype=object)
    rows = np.repeat(np.arange(len(predictions)), [len(found.scores) for found in predictions])
    values = [rows, names[objects], scores, *corners.T]
    table = pd.DataFrame(dict(zip(_COLUMNS, values, strict=True)))
    (folder / CONTRACT_FILE).unlink(missing_ok=True)  # with it the table is of this run
    write_whole(folder / BOXES_FILE, table.to_csv(index=False, float_format="%.9g"))
    write_whole(folder / CONTRACT_FILE, contract.to_json())


def _problem(found: PredictedBoxes, num_objects: int) -> str:
    """Say what is wrong with the boxes of one picture; '' if nothing is."""
    corners, scores, objects = found
    if corners.shape != (len(scores), 4) or objects.shape != scores.shape:
        return (
            f"expected corners (n, 4), scores (n,), objects (n,), got {corners.shape}, {scores.shape}, {objects.shape}"
        )
    if not np.isfinite(corners).all() or not (corners[:, 2:] > corners[:, :2]).all():
        return "a box does not have left < right and top < bottom"
    if not ((scores >= 0) & (scores <= 1)).all():  # false for NaN
        return "a score is not in [0, 1]"
    if (np.diff(scores) > 0).any():
        return "scores do not begin with the best"
    if len(objects) and not (objects.min() >= 0 and objects.max() < num_objects):
        return f"an object is not one of 0 to {num_objects - 1}"
    return ""


@dataclass(frozen=True)
class BoxTable:
    """What was found in the pictures of a table of predictions.

    rows: `(M,)` int64 of the predictions, ascending; boxes: of these M candidates, of each row the best first.
    """

    folder: Path
    contract: DetectionContract
    rows: IntArray
    boxes: PredictedBoxes

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write_boxes` wrote. Raises PredictionsError naming the file if it is missing or malformed."""
        path = folder / BOXES_FILE
        try:
            contract = read_contract(folder / CONTRACT_FILE)
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        except ContractError as exc:
            raise PredictionsError(f"{exc}; {REMEDY}") from exc
        except (OSError, ValueError) as exc:
            raise PredictionsError(f"cannot read the predicted boxes {path}: {exc}; {REMEDY}") from exc
        if not isinstance(contract, DetectionContract):
            raise PredictionsError(
                f"{folder / CONTRACT_FILE} is of the task {contract.task}: it finds no boxes; {REMEDY}"
            )
        missing = [name for name in _COLUMNS if name not in table.columns]
        if missing:
            raise PredictionsError(f"{path} has no column {', '.join(missing)}; {REMEDY}")
        return cls(folder, contract, *_parsed(path, table, contract))

    def of(self, row: int) -> PredictedBoxes:
        """Return the candidates of one row of the predictions; none where nothing was found."""
        first, end = np.searchsorted(self.rows, [row, row + 1])
        return self.boxes.take(slice(int(first), int(end)))

    def refuse_other_predictions(self, predictions: Predictions) -> None:
        """Raise PredictionsError if the boxes cannot be of these predictions, the whole table of val and test."""
        contract, num_rows = self.contract, len(predictions.paths)
        if contract.classes != predictions.classes:
            raise PredictionsError(
                f"{self.folder / CONTRACT_FILE} has the classes {', '.join(contract.classes)}, but the predictions "
                f"{', '.join(predictions.classes)}: they are not of one run; {REMEDY}"
            )
        if len(self.rows) and self.rows[-1] >= num_rows:
            raise PredictionsError(
                f"{self.folder / BOXES_FILE} holds boxes of row {self.rows[-1]}, but the predictions have {num_rows} "
                f"rows: they are not of one run; {REMEDY}"
            )


def _parsed(path: Path, table: pd.DataFrame, contract: DetectionContract) -> tuple[IntArray, PredictedBoxes]:
    """Return the rows and the boxes of a table of text. Raises PredictionsError naming the line that is wrong."""
    position = {name: index for index, name in enumerate(contract.objects)}
    unknown = np.flatnonzero(~table["object"].isin(list(position)))
    if len(unknown):
        raise PredictionsError(
            f"{path} line {unknown[0] + 2}: {table['object'].iloc[unknown[0]]!r} is no object of its contract "
            f"({', '.join(position)}); {REMEDY}"
        )
    try:
        rows = table["row"].to_numpy(dtype=object).astype(np.int64)
        corners, scores = (table[of].to_numpy(dtype=object).astype(np.float64) for of in (_CORNERS, "score"))
    except ValueError as exc:
        raise PredictionsError(f"{path} is no table of predicted boxes: {exc}; {REMEDY}") from exc
    falls = np.append(True, (np.diff(rows) > 0) | ((np.diff(rows) == 0) & (np.diff(scores) <= 0)))[: len(rows)]
    is_box = np.isfinite(corners).all(axis=1) & (corners[:, 2:] > corners[:, :2]).all(axis=1)
    for fits, expected in (
        (rows >= 0, "a row of 0 or more"),
        ((scores >= 0) & (scores <= 1), "a score in [0, 1]"),
        (is_box, "left < right and top < bottom"),
        (falls, "rows to count up and the best of a row to be the first"),
    ):
        wrong = np.flatnonzero(~fits)
        if len(wrong):
            raise PredictionsError(f"{path} line {wrong[0] + 2}: expected {expected}; {REMEDY}")
    objects = np.asarray([position[name] for name in table["object"]], dtype=np.int64)
    return rows, PredictedBoxes(corners, scores, objects)
