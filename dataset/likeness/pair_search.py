"""Find all pairs of unit vectors whose dot product is above a threshold, mostly without computing it.

Let P be an orthogonal projection and r the length of what it leaves of a vector. Then u.v <= Pu.Pv + r(u) r(v), by the
Cauchy-Schwarz inequality, so that a pair for which the right side is not above the threshold needs no second look. P is
onto the directions in which a sample of the vectors varies most. All pairs are still looked at, but in 257 numbers
instead of 4,096, and what is found is exactly what comparing everything finds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from project.progress import progress

BLOCK_ROWS = 1024  # two blocks of thumbnails and their product are under 40 MB
_FEW_VECTORS = 4096  # up to which everything is compared at once: a second or two
_SAMPLED = 1024
_DIRECTIONS = 256
_ROUNDING = 1e-4  # far above what 32-bit floats lose in a sum of 4,096 products

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Wanted = Callable[[slice, slice], BoolArray | None]


@dataclass(frozen=True)
class Block:
    """Pairs of R with C vectors: `is_above[r, c]` tells whether rows[r] < columns[c] is a pair that was looked for.

    rows, columns: `(R,)` and `(C,)` indices. products: `(R, C)` float32, correct where `is_above`.
    """

    rows: IntArray
    columns: IntArray
    products: FloatArray
    is_above: BoolArray

    def pairs(self) -> tuple[IntArray, IntArray]:
        """Return `(P,)` left and right indices of the pairs."""
        r, c = np.nonzero(self.is_above)
        return self.rows[r], self.columns[c]


def blocks_above(vectors: FloatArray, threshold: float, wanted: Wanted | None = None) -> Iterator[Block]:
    """Yield every pair whose product exceeds `threshold`, in blocks that hold at least one; memory stays bounded.

    vectors: `(N, D)` float32, of length 1 or 0. wanted: called for each block before it is computed with the slices of
    its rows and columns; returns which pairs are of interest, `(R, C)`, or None if none is.
    """
    reduced = _reduce(vectors) if len(vectors) > _FEW_VECTORS else None
    starts = range(0, len(vectors), BLOCK_ROWS)
    corners = [(row, column) for row in starts for column in starts if row <= column]
    for row, column in progress(corners, "comparing pictures", unit="block"):
        rows, columns = (slice(start, min(start + BLOCK_ROWS, len(vectors))) for start in (row, column))
        mask = (
            np.ones((rows.stop - row, columns.stop - column), dtype=bool) if wanted is None else wanted(rows, columns)
        )
        if mask is not None:
            block = _compare(vectors, reduced, (rows, columns), np.triu(mask, 1) if row == column else mask, threshold)
            if block.is_above.any():
                yield block


def _compare(
    vectors: FloatArray, reduced: FloatArray | None, place: tuple[slice, slice], mask: BoolArray, threshold: float
) -> Block:
    rows, columns = place
    if reduced is not None:
        mask = mask & (reduced[rows] @ reduced[columns].T > threshold - _ROUNDING)
        left, right = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        products = vectors[rows.start + left] @ vectors[columns.start + right].T
        mask = mask[np.ix_(left, right)]
    else:
        left, right = np.arange(rows.stop - rows.start), np.arange(columns.stop - columns.start)
        products = vectors[rows] @ vectors[columns].T
    return Block(rows.start + left, columns.start + right, products, mask & (products > threshold))


def _reduce(vectors: FloatArray) -> FloatArray | None:
    """Return `(N, 257)` numbers whose dot product is the bound; None if that is no fewer than there are."""
    if vectors.shape[1] <= _DIRECTIONS + 1:
        return None
    sample = np.asarray(vectors[:: -(-len(vectors) // _SAMPLED)])
    _, along = np.linalg.eigh(sample @ sample.T)
    basis = np.linalg.qr(sample.T @ along[:, -_DIRECTIONS:])[0]  # orthonormal, whatever the sample is
    reduced = np.empty((len(vectors), basis.shape[1] + 1), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = np.asarray(vectors[start : start + BLOCK_ROWS])
        projected = block @ basis
        rest = (block**2).sum(axis=1) - (projected**2).sum(axis=1)
        reduced[start : start + BLOCK_ROWS, :-1] = projected
        reduced[start : start + BLOCK_ROWS, -1] = np.sqrt(np.maximum(rest, 0) + _ROUNDING / 2)
    return reduced
