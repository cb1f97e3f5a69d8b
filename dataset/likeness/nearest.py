"""Keep the few best partners of every item, however many pairs are offered."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Nearest:
    """The `num_kept` partners of highest score of each of `size` items; memory is `size` times `num_kept`."""

    def __init__(self, size: int, num_kept: int) -> None:
        self._scores = np.full((size, num_kept), -np.inf, dtype=np.float32)
        self._partners = np.full((size, num_kept), -1, dtype=np.int64)

    def offer(self, rows: IntArray, columns: IntArray, scores: FloatArray, is_pair: BoolArray) -> None:
        """Take pairs of `rows[r]` and `columns[c]` into account where `is_pair[r, c]`; scores: `(R, C)`."""
        masked = np.where(is_pair, scores, np.float32(-np.inf))
        self._offer_to(rows, columns, masked)
        self._offer_to(columns, rows, masked.T)

    def _offer_to(self, items: IntArray, partners: IntArray, scores: FloatArray) -> None:
        num_kept = self._scores.shape[1]
        some = np.flatnonzero((scores > -np.inf).any(axis=1))
        items, scores = items[some], scores[some]
        best = _highest(scores, num_kept)
        scores = np.hstack([self._scores[items], np.take_along_axis(scores, best, axis=1)])
        candidates = np.hstack([self._partners[items], partners[best]])
        best = _highest(scores, num_kept)
        self._scores[items] = np.take_along_axis(scores, best, axis=1)
        self._partners[items] = np.take_along_axis(candidates, best, axis=1)

    def pairs(self) -> tuple[IntArray, IntArray]:
        """Return `(P,)` left and right items, left < right, of the pairs that one of the two items kept."""
        is_kept = np.isfinite(self._scores)
        items = np.nonzero(is_kept)[0]
        pairs = np.unique(np.sort(np.stack([items, self._partners[is_kept]]), axis=0), axis=1)
        return pairs[0], pairs[1]


def _highest(scores: FloatArray, number: int) -> IntArray:
    """Return `(R, min(number, C))` the places of the highest scores in each row."""
    if scores.shape[1] <= number:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(-scores, number - 1, axis=1)[:, :number]
