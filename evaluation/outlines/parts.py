"""Connected parts of the truth and of the answer, and which of one find which of the other.

A defect is a connected part (8-connected) of one region of the truth, as a region of the service's answer is one of the
map. A part of the answer finds a defect if the intersection over union of both is at least 0.1, as is usual where
finding counts more than tracing (Baumgartner et al. 2021, nnDetection), or if its centre lies on the defect, which is
the rule of candidates in computer-aided detection (Setio et al. 2017, LUNA16) and holds for a crack that is answered in
pieces. Several parts may find one defect: none of them is a false alarm, and the defect counts once.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from evaluation.statistics.found_scores import NEVER

IGNORED = 255  # of the truth: nobody knows
LEAST_IOU = 0.1
_EIGHT = np.ones((3, 3), dtype=np.int8)

ByteMap = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Labelled:
    """Connected parts of a map: `ids` `(H, W)` is 0 or 1 to P, `regions` `(P,)` the region and `areas_px` of each."""

    ids: npt.NDArray[np.int32]
    regions: IntArray
    areas_px: IntArray


@dataclass(frozen=True)
class Found:
    """One picture's defects and the answer's parts.

    defects: `defect_regions` and `defect_px` `(D,)`; the best score of a part that finds each, `found_by_any` of
    whatever region and `found_by_own` of the same, NEVER if there is none. parts: `part_regions`, `scores` `(P,)`, and
    whether each finds a defect, `is_any` whatever its region and `is_own` of the same region.
    """

    defect_regions: IntArray
    defect_px: IntArray
    found_by_any: FloatArray
    found_by_own: FloatArray
    part_regions: IntArray
    scores: FloatArray
    is_any: BoolArray
    is_own: BoolArray


def label_parts(region_map: ByteMap) -> Labelled:
    """Return the connected parts of equal region of `(H, W)` uint8, 0 being background; numbered region by region."""
    ids = np.zeros(region_map.shape, dtype=np.int32)
    regions: list[int] = []
    present = np.flatnonzero(np.bincount(region_map.ravel(), minlength=256))
    for region in present[present > 0]:
        labelled, number = ndimage.label(region_map == region, _EIGHT)
        inside = labelled > 0
        ids[inside] = labelled[inside] + len(regions)
        regions += [int(region)] * number
    areas = np.bincount(ids.ravel(), minlength=len(regions) + 1)[1:]
    return Labelled(ids, np.asarray(regions, dtype=np.int64), areas.astype(np.int64))


def without_small(region_map: ByteMap, min_px: int) -> ByteMap:
    """Return the map without connected parts of fewer than `min_px` pixels, as the service answers it."""
    if min_px <= 1 or not region_map.any():
        return region_map
    labelled = label_parts(region_map)
    is_kept = np.concatenate([[True], labelled.areas_px >= min_px])
    return np.where(is_kept[labelled.ids], region_map, np.uint8(0))


def match_parts(truth: ByteMap, answer: ByteMap, foreground: npt.NDArray[np.float32]) -> Found:
    """Match one picture's answer with its truth; a part's score is the mean `foreground` of its pixels.

    truth: `(H, W)`, IGNORED where nobody knows. answer: `(H, W)`. A part most of which lies where nobody knows is left
    out, unless it finds a defect.
    """
    is_known = truth != IGNORED
    defects, parts = label_parts(np.where(is_known, truth, np.uint8(0))), label_parts(answer)
    known_px = np.bincount(parts.ids[is_known], minlength=len(parts.regions) + 1)[1:]
    hits = _hits(parts, defects, is_known, known_px)
    own: BoolArray = hits & np.equal.outer(parts.regions, defects.regions)
    total = np.bincount(parts.ids.ravel(), foreground.ravel(), len(parts.regions) + 1)[1:]
    scores = total / np.maximum(parts.areas_px, 1)
    counts = hits.any(axis=1) | (2 * known_px >= parts.areas_px)
    return Found(
        defects.regions,
        defects.areas_px,
        _best(scores, hits),
        _best(scores, own),
        parts.regions[counts],
        scores[counts],
        np.asarray(hits.any(axis=1))[counts],
        np.asarray(own.any(axis=1))[counts],
    )


def _hits(parts: Labelled, defects: Labelled, is_known: BoolArray, known_px: IntArray) -> BoolArray:
    """Return `(P, D)` whether each part finds each defect, whatever their regions."""
    shape = len(parts.regions) + 1, len(defects.regions) + 1
    pairs = parts.ids[is_known].astype(np.int64) * shape[1] + defects.ids[is_known]
    overlap = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)[1:, 1:]
    iou = overlap / (known_px[:, None] + defects.areas_px[None] - overlap)
    is_centre: BoolArray = np.equal.outer(defects.ids[_centres(parts)], np.arange(1, shape[1]))
    return is_centre | (iou >= LEAST_IOU)


def _best(scores: FloatArray, hits: BoolArray) -> FloatArray:
    """Return `(D,)` the best score of the parts that hit each defect."""
    best: FloatArray = np.where(hits, scores[:, None], NEVER).max(axis=0, initial=NEVER)
    return best


def _centres(parts: Labelled) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows and columns, `(P,)` each, of the pixel of every part that is nearest to the mean of its pixels."""
    rows, columns = np.nonzero(parts.ids)
    which = parts.ids[rows, columns] - 1
    middle = [np.bincount(which, axis, len(parts.regions)) / np.maximum(parts.areas_px, 1) for axis in (rows, columns)]
    distance = (rows - middle[0][which]) ** 2 + (columns - middle[1][which]) ** 2
    order = np.lexsort((distance, which))
    first = np.searchsorted(which[order], np.arange(len(parts.regions)))
    nearest = order[first]
    return rows[nearest], columns[nearest]
