"""COCO's average precision and average recall of boxes, for any resample of groups.

Precision is read at 101 recalls, as pycocotools does, from the boxes of all pictures in order of score. In a resample a
picture counts as often as its group was drawn. Between two right boxes only the number of wrong ones matters, so that a
resample needs the wrong boxes of each group before each right one, and none that follow the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from evaluation.boxes.matching import IOUS, MAX_BOXES, RIGHT, WRONG, Matched, OutcomeArray
from evaluation.statistics.bootstrap import Resampling, ratio

RECALLS = np.linspace(0.0, 1.0, 101)
NUM_BOXES = (1, 10, MAX_BOXES)  # a picture, at which average recall is stated
_LEAST = np.spacing(1)  # added to a number of boxes, as pycocotools does

FloatArray = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Ranking:
    """One object's boxes of N pictures, in the order of the pictures and of each the best first.

    pictures: `(D,)` position of each box's picture. ranks: `(D,)` of the box in its picture, 0 for the best. scores:
    `(D,)`. outcomes: `(10, D)`, see `Matched`. num_there: `(N,)` objects that count in each picture.
    """

    pictures: Positions
    ranks: Positions
    scores: FloatArray
    outcomes: OutcomeArray
    num_there: npt.NDArray[np.int64]

    @classmethod
    def of(cls, matched: Sequence[Matched]) -> "Ranking":
        """Put the boxes of N pictures one after the other."""
        numbers = [len(one.scores) for one in matched]
        return cls(
            np.repeat(np.arange(len(matched)), numbers),
            np.concatenate([np.arange(number) for number in numbers]).astype(np.intp),
            np.concatenate([one.scores for one in matched]),
            np.concatenate([one.outcomes for one in matched], axis=1),
            np.asarray([len(one.found_by) for one in matched], dtype=np.int64),
        )

    @cached_property
    def order(self) -> Positions:
        """`(D,)` positions from the best score down; of equal ones the earlier picture's first."""
        return np.argsort(-self.scores, kind="stable")


def average_precisions(ranking: Ranking, resampling: Resampling, times: FloatArray) -> FloatArray:
    """Return `(b, 10)` average precision at each of `IOUS` in b resamples; NaN where no object is there.

    times: `(b, G)` how often each group counts; ones for the data as they are.
    """
    num_there = times @ np.bincount(resampling.group_ids, ranking.num_there, resampling.num_groups)
    precisions = [_at_one_iou(ranking, level, resampling, times, num_there) for level in range(len(IOUS))]
    return np.where(num_there[:, None] > 0, np.stack(precisions, axis=1), np.nan)


def _at_one_iou(
    ranking: Ranking, level: int, resampling: Resampling, times: FloatArray, num_there: FloatArray
) -> FloatArray:
    outcomes = ranking.outcomes[level][ranking.order]
    groups = resampling.group_ids[ranking.pictures[ranking.order]]
    is_right = outcomes == RIGHT
    num_right = int(is_right.sum())
    if not num_right:
        return np.zeros(len(times))
    before = is_right.cumsum()  # how many right boxes precede a wrong one: after the last, none counts
    wrong = np.flatnonzero((outcomes == WRONG) & (before < num_right))
    between = sparse.coo_array(
        (np.ones(len(wrong)), (before[wrong], groups[wrong])), shape=(num_right, resampling.num_groups)
    ).tocsr()
    right = times[:, groups[is_right]].cumsum(axis=1)
    found = right + (between @ times.T).T.cumsum(axis=1)
    precision = right / (found + _LEAST)
    # The best precision at this recall or a higher one.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = right / np.maximum(num_there, 1)[:, None]
    reached = np.searchsorted(RECALLS, recall, side="right")
    return np.asarray((np.diff(reached, axis=1, prepend=0) * precision).sum(axis=1) / len(RECALLS))


def average_recalls(ranking: Ranking, resampling: Resampling, times: FloatArray) -> FloatArray:
    """Return `(b, 3)` recall, as mean over `IOUS`, of the 1, 10 and 100 best boxes of a picture; NaN as above."""
    num_there = times @ np.bincount(resampling.group_ids, ranking.num_there, resampling.num_groups)
    num_right = (ranking.outcomes == RIGHT).sum(axis=0)
    recalls = []
    for most in NUM_BOXES:
        counts = ranking.ranks < most
        groups = resampling.group_ids[ranking.pictures[counts]]
        found = times @ np.bincount(groups, num_right[counts], resampling.num_groups)
        recalls.append(ratio(found, num_there * len(IOUS)))
    return np.stack(recalls, axis=1)
