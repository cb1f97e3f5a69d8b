"""Numbers of one picture from which all figures of outlines follow by adding up pictures."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, distance_transform_edt

from evaluation.outlines.parts import IGNORED, BoolArray, ByteMap, Found, IntArray, match_parts

NUM_BINS = 15
# Of the diagonal of the network's input; Csurka et al. 2013, What is a good evaluation measure for semantic
# segmentation?, BMVC.
TOLERANCE = 0.0075
OVERLAP, FOUND, THERE = range(3)  # columns of `pixels`
FOUND_NEAR, FOUND_EDGE, THERE_NEAR, THERE_EDGE = range(4)  # columns of `edges`


@dataclass(frozen=True)
class PictureSums:
    """One picture; rows of `pixels` and `edges` are of any region, then of each of R.

    pixels: `(1 + R, 3)` overlapping, answered and true pixels. edges: `(1 + R, 4)` answered outline's pixels near the
    true outline, all of it, true outline's pixels near the answered one, all of it. bins: `(3, NUM_BINS)` pixels, their
    summed foreground, and how many are of a region. num_known_px: pixels that count.
    """

    pixels: IntArray
    edges: IntArray
    bins: npt.NDArray[np.float64]
    num_known_px: int
    found: Found


def measure_picture(
    truth: ByteMap, answer: ByteMap, foreground: npt.NDArray[np.float32], num_regions: int, tolerance_px: float
) -> PictureSums:
    """Compare one answer with the truth, both `(H, W)` uint8: 0 background, 1 to num_regions, IGNORED in truth only.

    foreground: `(H, W)`. Where truth is IGNORED nothing counts.
    """
    is_known = truth != IGNORED
    size = num_regions + 1
    cells = truth[is_known].astype(np.int64) * size + answer[is_known]
    joint = np.bincount(cells, minlength=size * size).reshape(size, size)
    pixels = np.empty((size, 3), dtype=np.int64)
    pixels[1:] = np.column_stack([np.diag(joint), joint.sum(axis=0), joint.sum(axis=1)])[1:]
    pixels[0] = joint[1:, 1:].sum(), joint[:, 1:].sum(), joint[1:].sum()
    edges = np.zeros((size, 4), dtype=np.int64)
    for region in np.flatnonzero(pixels[:, FOUND] + pixels[:, THERE]):
        masks = (truth > 0, answer > 0) if region == 0 else (truth == region, answer == region)
        edges[region] = _edges(masks[0] & is_known, masks[1] & is_known, is_known, tolerance_px)
    bins = _reliability(foreground[is_known], (truth > 0)[is_known])
    return PictureSums(pixels, edges, bins, int(is_known.sum()), match_parts(truth, answer, foreground))


def tolerance_of(height: int, width: int) -> float:
    """Return how near outlines must be, pixels of a network's input of that size."""
    return TOLERANCE * math.hypot(height, width)


def _edges(truth: BoolArray, answer: BoolArray, is_known: BoolArray, tolerance_px: float) -> tuple[int, int, int, int]:
    """Return a row of `PictureSums.edges`; the picture's border and what nobody knows are no outline."""
    outlines = [mask & ~binary_erosion(mask | ~is_known, border_value=1) for mask in (truth, answer)]
    there, found = outlines
    num_there, num_found = int(there.sum()), int(found.sum())
    if not num_there or not num_found:
        return 0, num_found, 0, num_there
    near = [distance_transform_edt(~outline) <= tolerance_px for outline in outlines]
    return int((found & near[0]).sum()), num_found, int((there & near[1]).sum()), num_there


def _reliability(foreground: npt.NDArray[np.float32], is_region: BoolArray) -> npt.NDArray[np.float64]:
    # Edges belong to the bin below, so that 1 has a bin; a step of the maps, a 255th, is on one side surely.
    bins = np.clip(np.ceil(foreground.astype(np.float64) * NUM_BINS - 1e-6).astype(np.int64) - 1, 0, NUM_BINS - 1)
    return np.stack([np.bincount(bins, weights, NUM_BINS) for weights in (None, foreground, is_region)]).astype(float)
