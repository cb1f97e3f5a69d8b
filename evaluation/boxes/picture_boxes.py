"""What is in each picture and what was found there, and how the boxes of all pictures match."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evaluation.boxes.average_precision import Ranking
from evaluation.boxes.matching import EVERY_SIZE, LOOSE, RIGHT, WRONG, Area, Matched, Truth, match_boxes
from evaluation.outlines.free_response import Candidates
from evaluation.outlines.parts import NEVER
from evaluation.predicted_boxes import PredictedBoxes

IntArray = npt.NDArray[np.int64]


class PictureBoxes(NamedTuple):
    """One picture. threshold: score from which on a box is answered. is_unknown: nobody knows where its object is."""

    truth: Truth
    found: PredictedBoxes
    threshold: float
    is_unknown: bool = False


class MatchedBoxes(NamedTuple):
    """The boxes of one object in N pictures, or of any; `thresholds` `(N,)` as in `PictureBoxes`."""

    pictures: tuple[Matched, ...]
    thresholds: npt.NDArray[np.float64]

    def counts(self) -> IntArray:
        """Return `(N, 3)` right boxes, boxes and objects of each picture, at the threshold and at IoU 0.5."""
        rows = []
        for one, threshold in zip(self.pictures, self.thresholds, strict=True):
            outcomes = one.outcomes[LOOSE, one.scores >= threshold]
            num_right = int((outcomes == RIGHT).sum())
            rows.append((num_right, num_right + int((outcomes == WRONG).sum()), len(one.found_by)))
        return np.asarray(rows, dtype=np.int64).reshape(-1, 3)

    def ranking(self) -> Ranking:
        """Return the boxes in the form of which average precision is computed."""
        return Ranking.of(self.pictures)

    def candidates(self, *, answered: bool) -> Candidates:
        """Return objects and boxes in the form of free-response analysis; answered: only boxes at the threshold."""
        least = self.thresholds if answered else np.zeros_like(self.thresholds)
        counted = [
            (one.outcomes[LOOSE] >= WRONG) & (one.scores >= bar)
            for one, bar in zip(self.pictures, least, strict=True)
        ]  # fmt: skip
        found_by = [
            np.where(one.found_by >= bar, one.found_by, NEVER) for one, bar in zip(self.pictures, least, strict=True)
        ]
        which = np.arange(len(self.pictures))
        areas = np.concatenate([one.areas_px for one in self.pictures])
        return Candidates(
            np.repeat(which, [len(one.found_by) for one in self.pictures]),
            np.maximum(np.rint(areas), 1).astype(np.int64),
            np.concatenate(found_by),
            np.repeat(which, [int(chosen.sum()) for chosen in counted]),
            np.concatenate([one.scores[chosen] for one, chosen in zip(self.pictures, counted, strict=True)]),
            np.concatenate(
                [one.outcomes[LOOSE, chosen] == RIGHT for one, chosen in zip(self.pictures, counted, strict=True)]
            ),
        )


def match_all(pictures: Sequence[PictureBoxes], name: int | None, area: Area = EVERY_SIZE) -> MatchedBoxes:
    """Match the boxes of one object in all pictures, or those of any, if `name` is None, whatever they are called."""
    matched = []
    for truth, found, _, _ in pictures:
        if name is None:
            matched.append(match_boxes(truth, found.corners, found.scores, area))
        else:
            own = found.take(np.flatnonzero(found.objects == name))
            matched.append(match_boxes(truth.take(truth.objects == name), own.corners, own.scores, area))
    return MatchedBoxes(tuple(matched), np.asarray([one.threshold for one in pictures]))
