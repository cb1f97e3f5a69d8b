"""How far the boxes of an exported graph are from those of the network, candidate by candidate."""

from dataclasses import dataclass

import numpy as np

from runtime.model.contract import BOXES, OBJECTS, SCORES, OutputArray, Outputs

LEAST_SCORE = 0.01  # what scores less is in no table and no answer
MAX_BOX_DIFFERENCE_PX = 0.05  # of a side, in pixels of the network's input


@dataclass
class BoxDifferences:
    """Candidates of both that were compared, those that have a counterpart, and how far the furthest of these is.

    max_score_difference: beyond which a candidate has no counterpart.
    """

    max_score_difference: float
    num_boxes: int = 0
    num_equal: int = 0
    furthest_px: float = 0.0
    furthest_score: float = 0.0

    def add(self, expected: Outputs, got: Outputs) -> None:
        """Compare one batch: each candidate of either with those of the same object of the other."""
        for row in range(len(expected[SCORES])):
            one, other = ([out[name][row] for name in (BOXES, SCORES, OBJECTS)] for out in (expected, got))
            # Of several candidates with the lowest score of all, either may have taken others.
            lowest = max(float(one[1][-1]), float(other[1][-1])) + self.max_score_difference
            self._compare(one, other, max(LEAST_SCORE, lowest))
            self._compare(other, one, max(LEAST_SCORE, lowest))

    def _compare(self, one: list[OutputArray], other: list[OutputArray], least_score: float) -> None:
        boxes, scores, objects = (values[np.flatnonzero(~(one[1] < least_score))] for values in one)
        if not len(scores):
            return
        apart_px = np.abs(boxes[:, None] - other[0]).max(axis=2)
        apart = np.abs(scores[:, None] - other[1])
        # NaN compares false everywhere, so nothing that holds one has a counterpart.
        is_equal = (apart_px <= MAX_BOX_DIFFERENCE_PX) & (apart <= self.max_score_difference)
        is_equal &= objects[:, None] == other[2]
        matched = is_equal.any(axis=1)
        nearest = np.where(is_equal, apart_px, np.inf).argmin(axis=1)
        self.num_boxes += len(scores)
        self.num_equal += int(matched.sum())
        for row in np.flatnonzero(matched).tolist():
            self.furthest_px = max(self.furthest_px, float(apart_px[row, nearest[row]]))
            self.furthest_score = max(self.furthest_score, float(apart[row, nearest[row]]))
