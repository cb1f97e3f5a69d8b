"""Bring boxes of the network's input back to the picture's own pixels."""

import numpy as np

from runtime.model.contract import OutputArray
from runtime.model.preprocess import Placement

_MIN_SIDE_PX = 1e-3  # of a box that is left of one at the picture's edge; below it nothing of it is in the picture


def boxes_in_picture(boxes: OutputArray, place: Placement) -> OutputArray:
    """Return `(n, 4)` float64 boxes of the network's input as those of the upright picture, cut off at what is seen.

    boxes: `(n, 4)` left, top, right, bottom in pixels of the input. `Placement` maps edges to edges. A box outside the
    picture comes back without an area.
    """
    left, top, right, bottom = place.filled
    seen = np.asarray(place.taken, dtype=np.float64)
    start, scale = seen[:2], (seen[2:] - seen[:2]) / (right - left, bottom - top)
    corners = (boxes.reshape(-1, 2, 2).astype(np.float64) - (left, top)) * scale + start
    return corners.clip(seen[:2], seen[2:]).reshape(-1, 4)


def is_in_picture(placed: OutputArray) -> OutputArray:
    """Return `(n,)` bool: whether anything is left of each of the boxes that `boxes_in_picture` returned."""
    return np.asarray((placed[:, 2:] - placed[:, :2] >= _MIN_SIDE_PX).all(axis=1))
