"""Defect or not: the threshold on the defect probability that a stated miss rate asks for, and what it costs."""

import numpy as np
import numpy.typing as npt

from evaluation.document import Count, Document, Estimate, Figure, Share
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import FloatArray, IntArray, Resampling, as_estimate, figure_of_sums, ratio
from evaluation.statistics.ranking import ranking_figures

NUM_CURVE_POINTS = 101

BoolArray = npt.NDArray[np.bool_]


class OperatingPoint(Document):
    """Calling a picture defective from `threshold` on, measured on the test images.

    The defect probability is 1 - probability of the normal class. `miss_rate` is the share of defective pictures that
    are passed, `false_alarm_rate` the share of normal ones that are not; `cost` is per picture, in the units of the
    costs stated.
    """

    threshold: Share
    miss_rate: Estimate
    false_alarm_rate: Estimate
    precision: Estimate
    f1: Estimate
    cost: Figure


class CostPoint(Document):
    """One threshold of the cost curve; `cost` is per test image."""

    threshold: Share
    miss_rate: Share
    false_alarm_rate: Share
    cost: float


class DefectDetection(Document):
    """Defect or not, with `normal_class` as 'not'.

    `at_most_probable` calls a picture defective if the most probable class is not the normal one (its `threshold` is
    nominal: 0.5). `chosen` has the threshold at which at most `max_miss_rate` of the `num_fitting_defects` defective
    validation images were missed. `cheapest` has the threshold of least cost on the validation images. `curve` is
    measured on the test images, thresholds rising.
    """

    normal_class: str
    num_defects: Count
    num_normal: Count
    num_fitting_defects: Count
    num_fitting_normal: Count
    max_miss_rate: Share
    miss_cost: float
    false_alarm_cost: float
    roc_auc: Estimate
    average_precision: Estimate
    at_most_probable: OperatingPoint
    chosen: OperatingPoint
    cheapest: OperatingPoint
    curve: tuple[CostPoint, ...]


def measure_detection(
    test: Predictions, val: Predictions, normal_class: str, resampling: Resampling, params: EvaluateParams
) -> DefectDetection:
    """Fit thresholds on the validation images and measure them on the test images; see `DefectDetection`.

    Both must hold defective and normal images.
    """
    column = test.classes.index(normal_class)
    scores, is_defect = np.clip(1 - test.probs[:, column], 0, 1), test.labels != column
    val_scores, val_is_defect = np.clip(1 - val.probs[:, column], 0, 1), val.labels != column
    chosen = threshold_for_miss_rate(val_scores, val_is_defect, params.max_miss_rate)
    cheapest = _cheapest(val_scores, val_is_defect, params)
    ranking = ranking_figures(scores, is_defect, resampling)

    def measure(threshold: float, called: BoolArray) -> OperatingPoint:
        return _operating_point(threshold, called, is_defect, resampling, params)

    return DefectDetection(
        normal_class=normal_class,
        num_defects=int(is_defect.sum()),
        num_normal=int((~is_defect).sum()),
        num_fitting_defects=int(val_is_defect.sum()),
        num_fitting_normal=int((~val_is_defect).sum()),
        max_miss_rate=params.max_miss_rate,
        miss_cost=params.miss_cost,
        false_alarm_cost=params.false_alarm_cost,
        roc_auc=ranking.roc_auc,
        average_precision=ranking.average_precision,
        at_most_probable=measure(0.5, test.predicted != column),
        chosen=measure(chosen, scores >= chosen),
        cheapest=measure(cheapest, scores >= cheapest),
        curve=_curve(scores, is_defect, params),
    )


def why_no_detection(test: Predictions, val: Predictions | None, normal_class: str) -> str:
    """Say why 'defect or not' cannot be measured, or '' if it can."""
    if not normal_class:
        return "The description of the data names no normal class."
    if normal_class not in test.classes:
        return f"The data call {normal_class!r} normal, but the model has no such class."
    for name, part in (("test", test), ("validation", val)):
        is_normal = np.zeros(0, bool) if part is None else part.labels == part.classes.index(normal_class)
        if not is_normal.any() or is_normal.all():
            return f"The {name} images are not of both kinds, normal and defective."
    return ""


def threshold_for_miss_rate(scores: FloatArray, is_defect: BoolArray, max_miss_rate: float) -> float:
    """Return the highest threshold at which at most that share of defective images score below it.

    scores: `(N,)` in [0, 1]. is_defect: `(N,)` with at least one defective image.
    """
    defective = np.sort(scores[is_defect])
    num_missed = int(np.floor(max_miss_rate * len(defective) + 1e-9))  # 0.29 * 100 must allow 29, not 28
    return float(defective[num_missed])


def _cheapest(scores: FloatArray, is_defect: BoolArray, params: EvaluateParams) -> float:
    """Return the threshold of least cost; of equal ones the lowest, which misses least."""
    thresholds = np.unique(np.append(scores, 1.0))
    missed, alarms = _counts(scores, is_defect, thresholds)
    costs = params.miss_cost * missed + params.false_alarm_cost * alarms
    return float(thresholds[costs.argmin()])


def _curve(scores: FloatArray, is_defect: BoolArray, params: EvaluateParams) -> tuple[CostPoint, ...]:
    thresholds = np.unique(np.quantile(scores, np.linspace(0, 1, NUM_CURVE_POINTS)))
    missed, alarms = _counts(scores, is_defect, thresholds)
    num_defects, num_normal = int(is_defect.sum()), int((~is_defect).sum())
    return tuple(
        CostPoint(
            threshold=float(threshold),
            miss_rate=float(m / num_defects),
            false_alarm_rate=float(a / num_normal),
            cost=float((params.miss_cost * m + params.false_alarm_cost * a) / len(scores)),
        )
        for threshold, m, a in zip(thresholds, missed, alarms, strict=True)
    )


def _counts(scores: FloatArray, is_defect: BoolArray, thresholds: FloatArray) -> tuple[IntArray, IntArray]:
    """Return `(T,)` defective images below each threshold and `(T,)` normal ones from it on."""
    missed = np.searchsorted(np.sort(scores[is_defect]), thresholds, side="left")
    passed = np.searchsorted(np.sort(scores[~is_defect]), thresholds, side="left")
    return missed.astype(np.int64), (int((~is_defect).sum()) - passed).astype(np.int64)


def _operating_point(
    threshold: float, called: BoolArray, is_defect: BoolArray, resampling: Resampling, params: EvaluateParams
) -> OperatingPoint:
    # Sums: found, missed, false alarms, passed normal ones.
    columns = np.column_stack([called & is_defect, ~called & is_defect, called & ~is_defect, ~called & ~is_defect])
    defects, normal = resampling.num_bearing(is_defect), resampling.num_bearing(~is_defect)
    costs = np.array([0, params.miss_cost, params.false_alarm_cost, 0])
    figures = figure_of_sums(
        resampling,
        columns.astype(np.float64),
        {
            "miss_rate": lambda s: ratio(s[..., 1], s[..., 0] + s[..., 1]),
            "false_alarm_rate": lambda s: ratio(s[..., 2], s[..., 2] + s[..., 3]),
            "precision": lambda s: ratio(s[..., 0], s[..., 0] + s[..., 2]),
            # Without a defective picture F1 is undefined, as every class's is in a resample that lacks it.
            "f1": lambda s: ratio(
                2 * s[..., 0], np.where(s[..., 0] + s[..., 1] > 0, 2 * s[..., 0] + s[..., 1] + s[..., 2], 0)
            ),
            "cost": lambda s: (s @ costs) / s.sum(axis=-1),
        },
        {
            "miss_rate": defects,
            "f1": defects,
            "false_alarm_rate": normal,
            "precision": resampling.num_bearing(called),
        },
    )
    shares = {name: as_estimate(figures[name]) for name in ("miss_rate", "false_alarm_rate", "precision", "f1")}
    return OperatingPoint(threshold=threshold, cost=figures["cost"], **shares)
