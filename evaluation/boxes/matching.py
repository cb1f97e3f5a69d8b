"""Which predicted boxes of one picture are right: COCO's matching at ten thresholds of overlap.

From the best score down, each box takes the object that it overlaps most of those that no better box has taken, if
their intersection over union reaches the threshold. It is right then, and wrong if there is none: a second box on one
object is wrong. An ignored box is a crowd of COCO: it is no object to be found, any number of boxes may lie in it, and
what counts is the share of the predicted box that does; these are neither right nor wrong. The rules are those of
pycocotools (Lin et al. 2014, Microsoft COCO: Common Objects in Context), down to its choice between equals, so that
figures are comparable; the tests hold this module to it.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from evaluation.statistics.found_scores import NEVER

IOUS = np.linspace(0.5, 0.95, 10)
LOOSE = 0  # position of IoU 0.5, at which objects count as found
STRICT = 5  # of 0.75
MAX_BOXES = 100  # of one object in a picture: COCO looks at no more
RIGHT, WRONG, LEFT_OUT = 1, 0, -1
_NEARLY_1 = 1 - 1e-10  # as pycocotools has it

Area = tuple[float, float]
EVERY_SIZE: Area = (0.0, np.inf)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
OutcomeArray = npt.NDArray[np.int8]


class Truth(NamedTuple):
    """What is in one picture.

    corners: `(G, 4)` float64 left, top, right, bottom in pixels of the picture. objects: `(G,)` int64. ignored: `(G,)`.
    """

    corners: FloatArray
    objects: npt.NDArray[np.int64]
    ignored: BoolArray

    def take(self, which: BoolArray | npt.NDArray[np.intp]) -> "Truth":
        """Return some of the boxes."""
        return Truth(self.corners[which], self.objects[which], self.ignored[which])


class Matched(NamedTuple):
    """One picture's boxes of one object, the best first.

    scores: `(D,)`. outcomes: `(10, D)` RIGHT, WRONG or LEFT_OUT at each of `IOUS`. found_by: `(G,)` score of the box
    that finds each object that counts, at IoU 0.5; NEVER without one. areas_px: `(G,)` of these objects.
    """

    scores: FloatArray
    outcomes: OutcomeArray
    found_by: FloatArray
    areas_px: FloatArray


def areas_of(corners: FloatArray) -> FloatArray:
    """Return the areas, `(n,)`, of `(n, 4)` boxes."""
    return np.asarray((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))


def match_boxes(truth: Truth, corners: FloatArray, scores: FloatArray, area: Area = EVERY_SIZE) -> Matched:
    """Match predicted boxes with what is there, whatever the objects are called.

    corners: `(D, 4)`, scores: `(D,)`, the best first; of more than `MAX_BOXES` the first count. area: in square pixels,
    both ends included; objects of other areas are left out as ignored ones are, and so are boxes of other areas that
    find nothing.
    """
    corners, scores = corners[:MAX_BOXES], scores[:MAX_BOXES]
    areas = areas_of(truth.corners)
    counts = ~truth.ignored & (areas >= area[0]) & (areas <= area[1])
    outcomes, finder = _match(overlaps(truth, corners), truth.ignored, counts)
    own = areas_of(corners)
    outcomes[(outcomes == WRONG) & ((own < area[0]) | (own > area[1]))] = LEFT_OUT
    found_by = np.where(finder >= 0, np.append(scores, NEVER)[finder], NEVER)
    return Matched(scores, outcomes, found_by[counts], areas[counts])


def finders(truth: Truth, corners: FloatArray) -> npt.NDArray[np.intp]:
    """Return `(G,)` the position of the box that finds each object that counts, at IoU 0.5; -1 without one.

    corners: as of `match_boxes`, by whose rule it goes.
    """
    corners = corners[:MAX_BOXES]
    counts = ~truth.ignored
    return _match(overlaps(truth, corners), truth.ignored, counts)[1][counts]


def overlaps(truth: Truth, corners: FloatArray) -> FloatArray:
    """Return `(D, G)` intersections over union; over the predicted box alone where the truth is ignored."""
    if not len(corners) or not len(truth.corners):
        return np.zeros((len(corners), len(truth.corners)))
    # pycocotools reads memory row by row, whatever the array's order.
    of = [
        np.ascontiguousarray(np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]))
        for boxes in (corners, truth.corners)
    ]
    return np.asarray(coco.iou(*of, truth.ignored.astype(np.uint8)), dtype=np.float64)


def _match(iou: FloatArray, crowd: BoolArray, counts: BoolArray) -> tuple[OutcomeArray, npt.NDArray[np.intp]]:
    """Return `(10, D)` outcomes and `(G,)` which box finds each object at IoU 0.5, -1 for none."""
    num_boxes, num_there = iou.shape
    outcomes = np.zeros((len(IOUS), num_boxes), dtype=np.int8)
    finder = np.full(num_there, -1, dtype=np.intp)
    taken = np.zeros((len(IOUS), num_there), dtype=bool)
    least = np.minimum(IOUS, _NEARLY_1)[:, None]
    # Most boxes overlap nothing by half: they are wrong at every threshold, and no loop needs to see them.
    for box in np.flatnonzero((iou >= IOUS[0]).any(axis=1)):
        fits = (iou[box] >= least) & (~taken | crowd)
        for which, outcome in ((counts, RIGHT), (~counts, LEFT_OUT)):
            # An object that counts comes before one that does not, however much of that the box covers.
            open_to = fits & which & (outcomes[:, box] == WRONG)[:, None]
            levels = np.flatnonzero(open_to.any(axis=1))
            overlap = np.where(open_to[levels], iou[box], -1.0)
            best = num_there - 1 - overlap[:, ::-1].argmax(axis=1)  # the last of equals, as in pycocotools
            taken[levels, best] = True
            outcomes[levels, box] = outcome
            if outcome == RIGHT and LOOSE in levels:
                finder[best[levels == LOOSE]] = box
    return outcomes, finder
