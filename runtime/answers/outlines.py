"""From the network's map to the picture's own pixels: which of them a connected part covers, as run lengths.

The convention, in the network's input and in the picture alike: pixel `i` covers [i, i + 1) and its centre is at
i + 0.5. `Placement` maps edges to edges (`taken` to `filled`), which maps centres rightly whatever the scale, so that
nothing moves by half a pixel; to map index to index (i * scale) would move everything by (scale - 1) / 2 pixels.
Pillow's `resize`, by which a picture came to the network, has the same convention.

What is enlarged is the margin, foreground minus threshold, bilinearly between the centres of cells; a picture's pixel
is covered where the margin at its centre is not negative. Cells of other parts count as their margin's negative, so
that where two parts touch, each ends where the other begins. Where a picture is smaller than its map, a pixel's margin
is the mean over the pixel. Along columns nothing is computed pixel by pixel: between two cells the margin is a straight
line, and where that crosses zero a run begins or ends.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from runtime.answers.connected_parts import IntArray, Parts
from runtime.model.preprocess import Placement

Margins = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
# By which touching parts are kept apart, in units of the margin: more than rounding does, and nothing that is seen.
_APART = 1e-9
_BLOCK_CELLS = 2**20  # computed at a time, which bounds the memory for the largest pictures


class Outline(NamedTuple):
    """A part in its picture: runs of pixels column by column, at least one.

    starts, ends: places in the picture read down its columns, x * height + y; ends are outside, and runs neither touch
    nor overlap. box: left, top, right, bottom in pixels, the last two outside.
    """

    starts: IntArray
    ends: IntArray
    box: tuple[int, int, int, int]

    @property
    def area_px(self) -> int:
        return int((self.ends - self.starts).sum())


@dataclass(frozen=True)
class _Axis:
    """One axis of a placement: cells of the map, from 0 where the picture begins in it, against the picture's pixels.

    start: where the first cell begins, in pixels. step: cells a pixel. first, last: pixels whose centres are seen, the
    last is outside. cells: how many there are.
    """

    start: float
    step: float
    first: int
    last: int
    cells: int

    @classmethod
    def of(cls, taken: tuple[float, float], cells: int, pixels: int) -> Self:
        first, last = (min(max(math.ceil(edge - 0.5), 0), pixels) for edge in taken)
        if first >= last:  # less than a pixel is seen, and no centre
            first = min(max(math.floor(sum(taken) / 2), 0), pixels - 1)
            last = first + 1
        return cls(taken[0], cells / (taken[1] - taken[0]), first, last, cells)

    def pixel_at(self, cell: float) -> float:
        return self.start + cell / self.step

    def pixels_around(self, low: int, high: int) -> tuple[int, int]:
        """Return the seen pixels that the cells from `low` up to `high` can have a part in."""
        reach = 1 if self.step <= 1 else 0  # as far as bilinear goes; a mean over the pixel goes no further than it
        first, last = math.floor(self.pixel_at(low - reach)), math.ceil(self.pixel_at(high + reach))
        first = min(max(first, self.first), self.last - 1)
        return first, max(min(last, self.last), first + 1)

    def cells_around(self, low: int, high: int) -> tuple[int, int]:
        """Return the cells that pixels around those from `low` up to `high` are computed of."""
        reach = 1 if self.step <= 1 else math.ceil(self.step) + 1
        return max(0, low - reach), min(self.cells, high + reach)


def outline(part: int, parts: Parts, margins: Margins, place: Placement) -> Outline:
    """Bring a part, numbered from 1, to its picture.

    parts, margins: of the cells that the picture fills (`place.filled`), and no others. margins: `(H, W)` foreground
    minus threshold, not negative in the cells of parts. Computes the part's own surroundings alone. A part that covers
    no pixel's centre gets the pixel in which its strongest cell lies.
    """
    width, height = place.picture
    left, top, right, bottom = place.taken
    across = _Axis.of((left, right), margins.shape[1], width)
    down = _Axis.of((top, bottom), margins.shape[0], height)
    box = parts.boxes[part - 1].tolist()
    (x0, x1), (y0, y1) = across.cells_around(box[0], box[2]), down.cells_around(box[1], box[3])
    own = _own(margins[y0:y1, x0:x1], parts.labels[y0:y1, x0:x1], part)
    rows = down.pixels_around(box[1], box[3])
    found = []
    for columns in _blocks(across.pixels_around(box[0], box[2]), y1 - y0):
        sampled = _sample(own, across, x0, columns).T
        found.append(_runs(sampled, down, y0, rows, columns[0]))
    x, begin, end = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    if not len(x):
        row, column = np.unravel_index(own.argmax(), own.shape)
        x, begin = np.array([_pixel_of(across, x0 + int(column))]), np.array([_pixel_of(down, y0 + int(row))])
        end = begin + 1
    starts, ends = _joined(x * height + begin, x * height + end)
    return Outline(starts, ends, (int(x[0]), int(begin.min()), int(x[-1]) + 1, int(end.max())))


def _own(margins: Margins, labels: IntArray, part: int) -> Margins:
    """Return the margins as the part sees them: cells of other parts are as far below zero as they are above."""
    is_other = (labels != 0) & (labels != part)
    return np.where(is_other, -margins - _APART, margins)


def _blocks(pixels: tuple[int, int], cells: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BLOCK_CELLS // cells)
    for first in range(*pixels, step):
        yield first, min(first + step, pixels[1])


def _sample(values: Margins, axis: _Axis, first_cell: int, pixels: tuple[int, int]) -> Margins:
    """Return the values, `(n, cells)` from `first_cell` on, at the pixels from the first to the last: `(n, pixels)`."""
    last = values.shape[1] - 1
    edges = (np.arange(pixels[0], pixels[1] + 1) - axis.start) * axis.step - first_cell
    if axis.step <= 1:
        at = np.clip((edges[:-1] + edges[1:]) / 2 - 0.5, 0, last)
        below = np.minimum(at.astype(np.int64), max(0, last - 1))
        share = at - below
        return values[:, below] * (1 - share) + values[:, np.minimum(below + 1, last)] * share
    edges = np.clip(edges, 0, last + 1)
    whole = np.minimum(edges.astype(np.int64), last)
    sums = np.concatenate([np.zeros((len(values), 1)), values.cumsum(axis=1)], axis=1)
    up_to = sums[:, whole] + values[:, whole] * (edges - whole)
    mean: Margins = np.diff(up_to, axis=1) / np.maximum(np.diff(edges), 1e-12)
    return mean


def _runs(
    values: Margins, axis: _Axis, first_cell: int, pixels: tuple[int, int], first_column: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Return the runs in `pixels` along the columns of the picture: the column of each, its begin and its end.

    values: `(columns, cells)` margins from `first_column` and `first_cell` on.
    """
    if axis.step > 1:  # then cells are pixels
        values, scale, offset = _sample(values, axis, first_cell, pixels), 1.0, float(pixels[0])
    else:
        scale, offset = 1 / axis.step, axis.pixel_at(first_cell + 0.5) - 0.5
    inside = np.zeros((len(values), values.shape[1] + 2), bool)
    inside[:, 1:-1] = values >= 0
    columns, rising = np.nonzero(inside[:, 1:] & ~inside[:, :-1])
    _, falling = np.nonzero(inside[:, :-1] & ~inside[:, 1:])
    begin = np.ceil(offset + scale * _crossing(values, columns, rising)).clip(*pixels).astype(np.int64)
    end = np.floor(offset + scale * _crossing(values, columns, falling) + 1).clip(*pixels).astype(np.int64)
    is_any = end > begin
    return columns[is_any] + first_column, begin[is_any], end[is_any]


def _crossing(values: Margins, columns: IntArray, cells: IntArray) -> Margins:
    """Return where, in cells, the margin is zero between the cell before each of `cells` and it; infinite at ends."""
    last = values.shape[1]
    before, after = values[columns, np.maximum(cells - 1, 0)], values[columns, np.minimum(cells, last - 1)]
    is_between = (cells > 0) & (cells < last)
    rise = np.where(is_between, after - before, 1.0)
    at: Margins = np.where(is_between, cells - 1 - before / rise, np.where(cells > 0, np.inf, -np.inf))
    return at


def _pixel_of(axis: _Axis, cell: int) -> int:
    return min(max(math.floor(axis.pixel_at(cell + 0.5)), axis.first), axis.last - 1)


def _joined(starts: IntArray, ends: IntArray) -> tuple[IntArray, IntArray]:
    """Join runs that touch, as those of full columns do."""
    is_apart = starts[1:] > ends[:-1]
    return starts[np.append(True, is_apart)], ends[np.append(is_apart, True)]


def run_counts(runs: Outline, num_pixels: int) -> list[int]:
    """Return COCO's uncompressed counts: pixels outside and inside by turns, down the columns, outside first."""
    edges = np.stack([runs.starts, runs.ends], axis=1).ravel()
    counts: list[int] = np.diff(edges, prepend=0).tolist()
    behind = num_pixels - int(edges[-1])
    return [*counts, behind] if behind else counts
