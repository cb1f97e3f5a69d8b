"""Connected parts of a map of regions, by runs of rows: no loop over pixels, and a bound on what noise costs."""

from typing import Any, NamedTuple

import numpy as np

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
UintMap = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


class Parts(NamedTuple):
    """The connected parts of a map, numbered from 1 in the order of their first cells, row by row.

    labels: `(H, W)` int64, the part of each cell, 0 for background. Of part `i + 1`: `values[i]` is what the map holds
    in it, `sizes[i]` its number of cells, `boxes[i]` its left, top, right and bottom, the last two outside.
    """

    labels: IntArray
    values: IntArray
    sizes: IntArray
    boxes: IntArray


class _Runs(NamedTuple):
    """Stretches of equal value within a row, row by row: those of background are left out. `ends` are outside."""

    rows: IntArray
    starts: IntArray
    ends: IntArray
    values: IntArray


def find_parts(values: UintMap) -> Parts:
    """Find the parts of equal value other than 0 whose cells touch each other by a side or a corner.

    values: `(H, W)` uint8, 0 is background.
    """
    runs = _find_runs(values)
    roots = _join(len(runs.rows), *_touching(runs, values.shape[1]))
    # Runs come row by row and a root is the first run of its part, so that parts are numbered by their first cells.
    is_first = roots == np.arange(len(roots))
    firsts, part = np.flatnonzero(is_first), (is_first.cumsum() - 1)[roots]
    labels = np.zeros(values.shape, np.int64)
    labels[values != 0] = np.repeat(part + 1, runs.ends - runs.starts)
    boxes = np.empty((len(firsts), 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = max(values.shape, default=0), 0
    np.minimum.at(boxes[:, 0], part, runs.starts)
    np.minimum.at(boxes[:, 1], part, runs.rows)
    np.maximum.at(boxes[:, 2], part, runs.ends)
    np.maximum.at(boxes[:, 3], part, runs.rows + 1)
    sizes = np.bincount(part, runs.ends - runs.starts, minlength=len(firsts)).astype(np.int64)
    return Parts(labels, runs.values[firsts], sizes, boxes)


def _find_runs(values: UintMap) -> _Runs:
    height, width = values.shape
    # A column of background on either side, in whose place no run can be: every run begins and ends within its row.
    padded = np.zeros((height, width + 2), np.uint8)
    padded[:, 1:-1] = values
    left, right = padded[:, :-1], padded[:, 1:]
    changes = left != right
    rows, starts = np.nonzero(changes & (right != 0))
    _, ends = np.nonzero(changes & (left != 0))
    return _Runs(rows, starts, ends, padded[rows, starts + 1].astype(np.int64))


def _touching(runs: _Runs, width: int) -> tuple[IntArray, IntArray]:
    """Return pairs of runs of equal value, the first in the row above the second's, that touch, corners included."""
    stride = width + 2
    starts, ends = runs.rows * stride + runs.starts, runs.rows * stride + runs.ends
    # Of the next row: the first run that ends where this one starts or later, and the last that starts where it ends.
    begin = np.searchsorted(ends, starts + stride, side="left")
    count = np.searchsorted(starts, ends + stride, side="right") - begin
    above = np.repeat(np.arange(len(starts)), count)
    within = np.arange(len(above)) - np.repeat(np.cumsum(count) - count, count)
    below = begin[above] + within
    is_same = runs.values[above] == runs.values[below]
    return above[is_same], below[is_same]


def _join(num_items: int, first: IntArray, second: IntArray) -> IntArray:
    """Return for every item the smallest one that pairs connect it with.

    Each round hangs every root below the smallest root that it is paired with. In two rounds a root has either been
    hung or has taken in all that it was paired with, so that their number halves: at most 2 log2 rounds, whatever the
    map's shapes.
    """
    roots: IntArray = np.arange(num_items)
    while len(first):
        np.minimum.at(roots, np.maximum(first, second), np.minimum(first, second))
        while True:  # every item to its root: paths halve each time
            above = roots[roots]
            if np.array_equal(above, roots):
                break
            roots = above
        first, second = roots[first], roots[second]
        apart = first != second
        first, second = first[apart], second[apart]
    return roots


def mean_by_part(parts: Parts, of: np.ndarray[tuple[int, ...], np.dtype[Any]]) -> np.ndarray[Any, Any]:
    """Return the mean of `of`, `(H, W)`, over the cells of each part: `(number of parts,)` float64."""
    sums = np.bincount(parts.labels.ravel(), of.ravel(), minlength=len(parts.sizes) + 1)
    return sums[1:] / parts.sizes
