"""Figures of boxes with their intervals over groups: COCO's, those at the threshold, by size and by attribute."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from evaluation.analyses.slices import slice_by_attributes
from evaluation.boxes.average_precision import Ranking, average_precisions, average_recalls, mean_where_defined
from evaluation.boxes.document import BoxResult, BoxSlice, Precisions, SizeResult, SizeRule
from evaluation.boxes.matching import LOOSE, STRICT, areas_of
from evaluation.boxes.picture_boxes import IntArray, MatchedBoxes, PictureBoxes, match_all
from evaluation.document import Estimate
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import (
    FloatArray,
    Resampling,
    Statistic,
    as_estimate,
    as_figure,
    figure_of_sums,
    ratio,
)

NAMES = ("ap", "ap50", "ap75", "ar1", "ar10", "ar100")
RIGHT_COUNT, BOX_COUNT, OBJECT_COUNT = range(3)  # columns of `MatchedBoxes.counts`
COCO_AREAS = ((0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, np.inf))
_NUM_SIZES = 3


def coco_figures(rankings: Sequence[Ranking], resampling: Resampling) -> tuple[list[Precisions], Precisions]:
    """Return COCO's figures of each object, and their means over the objects that are there."""
    whole, resampled = coco_of_resamples(rankings, resampling)
    bearing = np.asarray([resampling.num_bearing(one.num_there > 0) for one in rankings])
    any_bearing = resampling.num_bearing(np.sum([one.num_there for one in rankings], axis=0) > 0)
    ends = resampling.ends(resampled, bearing[:, None])
    mean_ends = resampling.ends(mean_where_defined(np.swapaxes(resampled, 1, 2)), any_bearing)
    each = [_precisions(whole[place], ends[:, place]) for place in range(len(rankings))]
    return each, _precisions(mean_where_defined(whole.T), mean_ends)


def coco_of_resamples(rankings: Sequence[Ranking], resampling: Resampling) -> tuple[FloatArray, FloatArray]:
    """Return `(C, 6)` figures of each object, in the order of `NAMES`, and `(B, C, 6)` of all resamples."""
    numbers_each = max(sum(len(one.scores) for one in rankings), 1)
    drawn = [_coco(rankings, resampling, times.astype(np.float64)) for times in resampling.draws(numbers_each)]
    return coco_of_data(rankings, resampling), np.concatenate(drawn)


def coco_of_data(rankings: Sequence[Ranking], resampling: Resampling) -> FloatArray:
    """Return `(C, 6)` figures of each object, in the order of `NAMES`."""
    return np.asarray(_coco(rankings, resampling, np.ones((1, resampling.num_groups)))[0])


def _coco(rankings: Sequence[Ranking], resampling: Resampling, times: FloatArray) -> FloatArray:
    """Return `(b, C, 6)` figures of b resamples, in the order of `NAMES`."""
    found = []
    for ranking in rankings:
        precisions = average_precisions(ranking, resampling, times)
        chosen = [precisions.mean(axis=1), precisions[:, LOOSE], precisions[:, STRICT]]
        found.append(np.column_stack([*chosen, average_recalls(ranking, resampling, times)]))
    return np.stack(found, axis=1)


def _precisions(values: FloatArray, ends: FloatArray) -> Precisions:
    """values: `(6,)`, ends: `(2, 6)`, in the order of `NAMES`."""
    return Precisions(
        **{name: as_estimate(as_figure(values[at], ends[:, at])) for at, name in enumerate(NAMES)}
    )  # fmt: skip


def box_result(name: str, matched: MatchedBoxes, precisions: Precisions, resampling: Resampling) -> BoxResult:
    """Return one object's figures, of which those of COCO are given."""
    counts = matched.counts()
    has = counts[:, OBJECT_COUNT] > 0
    sums = counts.sum(axis=0)
    return BoxResult(
        name=name,
        num_images=int(has.sum()),
        num_groups=resampling.num_bearing(has),
        num_objects=int(sums[OBJECT_COUNT]),
        num_boxes=int(sums[BOX_COUNT]),
        num_right=int(sums[RIGHT_COUNT]),
        precisions=precisions,
        **at_threshold(counts, resampling),
    )


def at_threshold(counts: IntArray, resampling: Resampling) -> dict[str, Estimate]:
    """Return precision, recall and F1 of `(N, 3)` counts; undefined without boxes, without objects, without objects."""
    statistics: dict[str, Statistic] = {
        "precision": lambda s: ratio(s[..., RIGHT_COUNT], s[..., BOX_COUNT]),
        "recall": lambda s: ratio(s[..., RIGHT_COUNT], s[..., OBJECT_COUNT]),
        "f1": f1_of,
    }
    there = resampling.num_bearing(counts[:, OBJECT_COUNT] > 0)
    bearing = {"precision": resampling.num_bearing(counts[:, BOX_COUNT] > 0), "recall": there, "f1": there}
    figures = figure_of_sums(resampling, counts.astype(np.float64), statistics, bearing)
    return {name: as_estimate(one) for name, one in figures.items()}


def f1_of(sums: FloatArray) -> FloatArray:
    """Return F1, `(...)`, of `(..., 3)` right boxes, boxes and objects; NaN where no object is there."""
    whole = np.where(sums[..., OBJECT_COUNT] > 0, sums[..., BOX_COUNT] + sums[..., OBJECT_COUNT], 0)
    return ratio(2 * sums[..., RIGHT_COUNT], whole)


def by_size(pictures: Sequence[PictureBoxes], num_objects: int, resampling: Resampling) -> tuple[SizeResult, ...]:
    """Return the figures of COCO's sizes, then those of a third of the objects each; sizes without one are left out."""
    areas = np.concatenate([areas_of(one.truth.corners)[~one.truth.ignored] for one in pictures])
    ranges: list[tuple[SizeRule, float, float]] = [("coco", low, high) for low, high in COCO_AREAS]
    thirds = np.unique(np.ceil(np.quantile(areas, np.arange(1, _NUM_SIZES) / _NUM_SIZES)))
    edges = [0.0, *(float(edge) for edge in thirds if areas.min() < edge <= areas.max()), np.inf]
    ranges += [("thirds", low, high) for low, high in pairwise(edges)]
    return tuple(
        _size(pictures, num_objects, resampling, rule, low, high)
        for rule, low, high in ranges
        if ((areas >= low) & (areas <= _inside(rule, high))).any()
    )


def _inside(rule: SizeRule, high: float) -> float:
    """Return the largest area of a range. COCO's ranges share their ends, so that an area may be of two."""
    return high if rule == "coco" else float(np.nextafter(high, 0))


def _size(
    pictures: Sequence[PictureBoxes], num_objects: int, resampling: Resampling, rule: SizeRule, low: float, high: float
) -> SizeResult:
    area = low, _inside(rule, high)
    rankings = [match_all(pictures, name, area).ranking() for name in range(num_objects)]
    num_there = np.sum([one.num_there for one in rankings], axis=0)
    mean = coco_figures(rankings, resampling)[1]
    return SizeResult(
        rule=rule,
        low_px=low,
        high_px=None if np.isinf(high) else high,
        num_objects=int(num_there.sum()),
        num_groups=resampling.num_bearing(num_there > 0),
        ap=mean.ap,
        ar100=mean.ar100,
    )


def by_attribute(rows: Predictions, matched: MatchedBoxes, params: EvaluateParams) -> tuple[tuple[BoxSlice, ...], int]:
    """Return figures of any object by each attribute, the lowest F1 first, and how many slices were too small."""
    slices, num_smaller = slice_by_attributes(rows, params.min_slice_images)
    found = []
    for part in slices:
        resampling, inside = Resampling(rows.groups[part.rows], params), _take(matched, part.rows)
        counts = inside.counts()
        found.append(
            BoxSlice(
                attribute=part.attribute,
                value=part.value,
                num_images=len(part.rows),
                num_groups=resampling.num_groups,
                num_objects=int(counts[:, OBJECT_COUNT].sum()),
                ap50=coco_figures([inside.ranking()], resampling)[0][0].ap50,
                f1=at_threshold(counts, resampling)["f1"],
            )
        )
    lowest = sorted(found, key=lambda s: (s.f1.value is None, s.f1.value or 0.0, s.attribute, s.value))
    return tuple(lowest), num_smaller


def _take(matched: MatchedBoxes, rows: npt.NDArray[np.intp]) -> MatchedBoxes:
    return MatchedBoxes(tuple(matched.pictures[row] for row in rows), matched.thresholds[rows])
