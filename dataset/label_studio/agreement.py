"""Compare what two annotators marked in one picture: each region of one with its counterpart of the other's."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from dataset.label_studio.export_file import Region


def region_iou(first: Region, second: Region) -> float:
    """Return intersection over union of two regions of one picture, 0 to 1; 0 of a box with a brush."""
    if first.corners and second.corners:
        return _box_iou(first.corners, second.corners)
    if first.corners or second.corners or first.size != second.size:
        return 0.0
    one, other = first.mask(), second.mask()
    return float((one & other).sum() / (one | other).sum())


def matched_ious(first: Sequence[Region], second: Sequence[Region]) -> list[float]:
    """Return the IoU of each region of either with its counterpart: 0 where it has none.

    Counterparts have the same label, and are chosen such that the sum of their IoU is the largest.
    """
    ious = np.array([[region_iou(a, b) if a.label == b.label else 0.0 for b in second] for a in first])
    if not ious.size:
        return [0.0] * max(len(first), len(second))
    rows, columns = linear_sum_assignment(ious, maximize=True)
    found = [float(value) for value in ious[rows, columns] if value > 0]
    alone = len(first) + len(second) - 2 * len(found)
    return [*found, *[0.0] * alone]


def _box_iou(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (_area(first) + _area(second) - shared)


def _area(corners: tuple[float, ...]) -> float:
    return (corners[2] - corners[0]) * (corners[3] - corners[1])
