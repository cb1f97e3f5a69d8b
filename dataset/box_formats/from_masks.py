"""Make boxes of a mask: one of each connected part of a region, where parts that nearly touch are one object's."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dataset.annotations import BACKGROUND, IGNORED, MarkedArray, MaskArray, marked
from dataset.boxes import AnnotatedBox

GAP = 0.01  # of the picture's smaller side: by so much fragments of one object are widened, on every side
LEAST_PX = 15  # of an object: what is smaller is a slip of the hand, unless nothing else is there
_EIGHT = np.ones((3, 3), dtype=np.uint8)  # which pixels touch: those at a corner, too

Labels = NDArray[np.int32]
Slices = tuple[slice, slice]


def boxes_of_mask(mask: MaskArray, regions: tuple[str, ...]) -> list[AnnotatedBox]:
    """Return the boxes of a mask, `(height, width)` uint8 as loading writes it; value `i + 1` is `regions[i]`.

    A region's parts are widened by `GAP`; those that touch then are one object, whose box is that of the parts as they
    are. Objects of fewer than `LEAST_PX` marked pixels are dropped; where that would leave nothing of a region, there
    is one box around all of it. What is ignored and touches no region is an ignored box of every region: anything may
    be there. An ignored edge around a region is none.
    """
    gap = round(GAP * min(mask.shape))
    found: list[AnnotatedBox] = []
    for value, place in enumerate(ndimage.find_objects(mask), start=1):
        if place is not None and value not in (BACKGROUND, IGNORED):
            found += [AnnotatedBox(regions[value - 1], _corners(one)) for one in _objects(mask, value, place, gap)]
    unknown = _unknown_parts(mask)
    return found + [AnnotatedBox(name, _corners(one), ignored=True) for name in regions for one in unknown]


def _objects(mask: MaskArray, value: int, place: Slices, gap: int) -> list[Slices]:
    """Return where each object of a region lies. place: of the whole region."""
    around = (
        slice(max(0, place[0].start - gap), place[0].stop + gap),
        slice(max(0, place[1].start - gap), place[1].stop + gap),
    )
    inside = mask[around] == value
    # A square, not a disc: it is one pass a side, however wide.
    groups, number = ndimage.label(ndimage.maximum_filter(inside, size=2 * gap + 1), _EIGHT)
    kept = _large_enough(np.where(inside, groups, 0), number)
    return [_moved(one, around) for one in kept] or [place]


def _unknown_parts(mask: MaskArray) -> list[Slices]:
    """Return where each connected part lies that is ignored and touches no region."""
    ignored = mask == IGNORED
    if not ignored.any():
        return []
    parts, number = ndimage.label(ignored, _EIGHT)
    edges = np.unique(parts[_beside(marked(mask))])
    parts[np.isin(parts, edges)] = 0
    return _large_enough(parts, number)


def _beside(regions: MarkedArray) -> MarkedArray:
    return np.asarray(ndimage.maximum_filter(regions, size=3))


def _large_enough(groups: Labels, number: int) -> list[Slices]:
    """Return where each of the groups of at least `LEAST_PX` pixels lies. groups: their numbers, from 1, or 0."""
    sizes = np.bincount(groups[groups > 0], minlength=number + 1)
    places = ndimage.find_objects(groups, max_label=number)
    return [place for group, place in enumerate(places, start=1) if place is not None and sizes[group] >= LEAST_PX]


def _moved(place: Slices, around: Slices) -> Slices:
    """Return a place within a part of the mask as one of the whole mask."""
    down, right = around[0].start, around[1].start
    return slice(place[0].start + down, place[0].stop + down), slice(place[1].start + right, place[1].stop + right)


def _corners(place: Slices) -> tuple[float, float, float, float]:
    rows, columns = place
    return float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)
