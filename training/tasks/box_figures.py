"""Measure boxes on validation pictures: precision, recall and F1, and the threshold of the answer with the best F1.

A box is right as evaluation has it, at an IoU of 0.5 (`evaluation/boxes/matching.py`). All is measured at the size of
the network's input, as training sees it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from evaluation.boxes.matching import LEFT_OUT, LOOSE, RIGHT, Truth, match_boxes
from training.network.centre_points import Candidates
from training.tasks.detection_loss import COUNTS, NO_BOX, OBJECT, STATE
from training.tasks.region_figures import THRESHOLDS, metric_names

DEFAULT_THRESHOLD = 0.3

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def outcomes(found: Candidates, targets: torch.Tensor) -> torch.Tensor:
    """Return `(n, K)` int8: whether each candidate of each picture is RIGHT, WRONG or LEFT_OUT.

    targets: `(n, m, 6)` as `box_loss` takes them. A candidate that scores 0 is left out.
    """
    pictures = zip(*(part.cpu().numpy() for part in found), targets.cpu().numpy(), strict=True)
    return torch.from_numpy(np.stack([_of_picture(*picture) for picture in pictures]))


def _of_picture(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], objects: npt.NDArray[np.uint8],
    target: npt.NDArray[np.float32],
) -> npt.NDArray[np.int8]:  # fmt: skip
    there = target[target[:, STATE] != NO_BOX]
    truth = Truth(there[:, :4].astype(np.float64), there[:, OBJECT].astype(np.int64), there[:, STATE] != COUNTS)
    corners, best = boxes.astype(np.float64), scores.astype(np.float64)
    found = np.full(len(scores), LEFT_OUT, dtype=np.int8)
    for number in np.unique(objects[scores > 0]):
        rows = np.flatnonzero((objects == number) & (scores > 0))
        matched = match_boxes(truth.take(truth.objects == number), corners[rows], best[rows])
        found[rows[: len(matched.scores)]] = matched.outcomes[LOOSE]
    return found


def count_boxes(targets: torch.Tensor, num_objects: int) -> torch.Tensor:
    """Return `(n, objects)` int64: how many boxes of each object count in each picture."""
    counts = (targets[..., STATE] == COUNTS).long()
    return counts.new_zeros(len(targets), num_objects).scatter_add(1, targets[..., OBJECT].long(), counts)


@dataclass(frozen=True)
class BoxCounts:
    """Candidates of all pictures that are not left out. scores, objects, is_right: `(M,)`. there: `(objects,)`."""

    scores: FloatArray
    objects: IntArray
    is_right: npt.NDArray[np.bool_]
    there: IntArray

    @classmethod
    def of(
        cls, scores: npt.ArrayLike, objects: npt.ArrayLike, found: npt.ArrayLike, there: npt.ArrayLike
    ) -> "BoxCounts":
        """Gather what pictures gave: scores, objects and outcomes `(N, K)`, and `count_boxes` `(N, objects)`."""
        outcome = np.ravel(found)
        counted = outcome != LEFT_OUT
        return cls(
            np.ravel(scores)[counted].astype(np.float64),
            np.ravel(objects)[counted].astype(np.int64),
            outcome[counted] == RIGHT,
            np.asarray(there, dtype=np.int64).sum(axis=0),
        )

    def best_threshold(self) -> float:
        """Return the threshold with the highest F1, of several the middle one; the default where nothing is there."""
        if not self.there.sum():
            return DEFAULT_THRESHOLD
        f1 = np.asarray([self._at(threshold)[2] for threshold in THRESHOLDS])
        best = np.flatnonzero(f1 == f1.max())
        return THRESHOLDS[int(best[len(best) // 2])]

    def figures(self, threshold: float, objects: Sequence[str]) -> dict[str, float]:
        """Return `val_precision`, `val_recall` and `val_f1` of all boxes and `val_f1` of each object, by logged names.

        An object that no picture holds has none, and nothing has where no picture holds any.
        """
        if not self.there.sum():
            return {}
        figures = dict(zip(("val_precision", "val_recall", "val_f1"), self._at(threshold), strict=True))
        for number, name in enumerate(metric_names(objects)):
            if self.there[number]:
                figures[f"val_f1.{name}"] = self._at(threshold, number)[2]
        return figures

    def _at(self, threshold: float, number: int | None = None) -> tuple[float, float, float]:
        """Return precision, recall and F1 of the candidates that reach a threshold; precision of none is 0."""
        of_object = slice(None) if number is None else self.objects == number
        found = self.is_right[of_object][self.scores[of_object] >= threshold]
        num_right, num_there = int(found.sum()), int(self.there.sum() if number is None else self.there[number])
        return num_right / max(len(found), 1), num_right / num_there, 2 * num_right / (len(found) + num_there)
