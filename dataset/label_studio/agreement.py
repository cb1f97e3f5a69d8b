"""Compare what two annotators marked in one picture: each region of one with its counterpart of the other's."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from dataset.label_studio.export_file import Region

Bits = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def matched_ious(first: Sequence[Region], second: Sequence[Region]) -> list[float]:
    """Return the intersection over union of each region of either with its counterpart: 0 where it has none.

    Counterparts have the same label, and are chosen such that the sum of their IoU is the largest. A box is no
    counterpart of a brush.
    """
    brushes = [[_pixels(region) for region in own] for own in (first, second)]
    ious = np.array(
        [
            [_iou(a, b, of_a, of_b) if a.label == b.label else 0.0 for b, of_b in zip(second, brushes[1], strict=True)]
            for a, of_a in zip(first, brushes[0], strict=True)
        ]
    )
    if not ious.size:
        return [0.0] * max(len(first), len(second))
    rows, columns = linear_sum_assignment(ious, maximize=True)
    found = [float(value) for value in ious[rows, columns] if value > 0]
    alone = len(first) + len(second) - 2 * len(found)
    return [*found, *[0.0] * alone]


def _pixels(region: Region) -> Bits | None:
    """Return a brush's mask, eight pixels a byte, as each is compared with many; None of a box."""
    return np.packbits(region.mask()) if region.brush else None


def _iou(first: Region, second: Region, first_pixels: Bits | None, second_pixels: Bits | None) -> float:
    if first.corners and second.corners:
        return _box_iou(first.corners, second.corners)
    if first_pixels is None or second_pixels is None or first.size != second.size:
        return 0.0
    return _count(first_pixels & second_pixels) / _count(first_pixels | second_pixels)


def _count(pixels: Bits) -> int:
    return int(np.bitwise_count(pixels).sum())


def _box_iou(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (_area(first) + _area(second) - shared)


def _area(corners: tuple[float, ...]) -> float:
    return (corners[2] - corners[0]) * (corners[3] - corners[1])
