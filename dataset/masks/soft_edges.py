"""Tell a binary mask whose edges fade from black to white from an index mask, whose values are numbers.

Edges fade where a drawing was smoothed, resized, blurred or stored as JPEG once. Then values between lie where black
turns to white, in several steps below the middle and above, and most of the grey ones have a darker pixel on one side
and a brighter one on the other. A number of an index mask fills a region, a line or a spot of its own, most of whose
pixels have not; and a boundary that is numbered has one value, or few. What may be both is taken for neither.
"""

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from dataset.annotations import MaskArray

MIDDLE = 127  # of 255; above it a pixel is marked
_BLACK, _WHITE = 8, 247  # what is darker or brighter is no value between: JPEG leaves as much beside an edge
_GREY = 64, 191  # values that only an edge leads through: what JPEG leaves beside one is mostly darker or brighter
_LEAST_STEPS = 3  # distinct values on each side of the middle
_LEAST_SLOPE = 0.5  # share of grey pixels on a slope: 0.7 and more after JPEG, 1 after smoothing, 0.1 among numbers
_MOST_FLAT = 0.1  # share of values between amid equal ones: 0 at edges, 0.3 where numbers were smoothed by mistake
_MOST_BETWEEN = 0.25  # share of the picture; more is a photograph, or a map of probabilities


def has_soft_edges(values: MaskArray) -> bool:
    """Tell whether a mask, `(height, width)` uint8, is binary with edges that fade; false where it may be either."""
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    steps = present[(present > 0) & (present < 255)]
    num_low = int((steps <= MIDDLE).sum())
    if present[0] > 0 or present[-1] <= _GREY[1] or min(num_low, len(steps) - num_low) < _LEAST_STEPS:
        return False
    if ((values > _BLACK) & (values < _WHITE)).mean() > _MOST_BETWEEN:
        return False
    highest, lowest = maximum_filter(values, 3), minimum_filter(values, 3)
    is_step, is_grey = (values > 0) & (values < 255), (values >= _GREY[0]) & (values <= _GREY[1])
    if (highest == lowest)[is_step].mean() > _MOST_FLAT:
        return False
    is_slope = (highest > values) & (lowest < values)
    return not is_grey.any() or bool(is_slope[is_grey].mean() >= _LEAST_SLOPE)
