"""Figures of a score that ranks pictures: average precision and area under the ROC curve, with intervals over groups.

Pictures of equal score are one step of the curve, as in scikit-learn, to which values are held by test.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.bootstrap import FloatArray, Resampling
from evaluation.document import Estimate


@dataclass(frozen=True)
class RankingFigures:
    """Average precision and area under the ROC curve; undefined without images of both kinds."""

    average_precision: Estimate
    roc_auc: Estimate


def ranking_figures(scores: FloatArray, is_positive: npt.NDArray[np.bool_], resampling: Resampling) -> RankingFigures:
    """Measure how well `scores` put positive images first.

    scores, is_positive: `(N,)`. An interval is given if at least two groups have positive images.
    """
    if is_positive.all() or not is_positive.any():
        return RankingFigures(Estimate(value=None), Estimate(value=None))
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    group_ids, positive = resampling.group_ids[order], is_positive[order].astype(np.float64)
    precision, auc = _areas(np.ones((1, len(scores))), positive, ends)
    resampled = [
        _areas(times[:, group_ids].astype(np.float64), positive, ends) for times in resampling.draws(4 * len(scores))
    ]
    bearing = resampling.num_bearing(is_positive)
    figures = []
    for index, value in enumerate((precision, auc)):
        low, high = resampling.ends(np.concatenate([part[index] for part in resampled]), bearing)
        figures.append(Estimate(value=_inside(float(value[0])), low=_inside(low), high=_inside(high)))
    return RankingFigures(*figures)


def _areas(weights: FloatArray, positive: FloatArray, ends: npt.NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Return `(B,)` average precision and `(B,)` area under the ROC curve; NaN without images of both kinds.

    weights: `(B, N)` how often each image counts, best score first. ends: last image of each step of equal scores.
    """
    found = np.cumsum(weights * positive, axis=1)[:, ends]
    shown = np.cumsum(weights, axis=1)[:, ends]
    num_positive, num_negative = found[:, -1], shown[:, -1] - found[:, -1]
    precision = np.divide(found, shown, out=np.zeros_like(found), where=shown > 0)
    gained = np.diff(found, axis=1, prepend=0)
    false_alarms = shown - found
    area = (np.diff(false_alarms, axis=1, prepend=0) * (found - gained / 2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        average_precision = np.where(num_positive > 0, (gained * precision).sum(axis=1) / num_positive, np.nan)
        auc = np.where((num_positive > 0) & (num_negative > 0), area / (num_positive * num_negative), np.nan)
    return average_precision, auc


def _inside(value: float | None) -> float | None:
    """Bring back what rounding put outside [0, 1]."""
    return None if value is None else min(max(value, 0.0), 1.0)
