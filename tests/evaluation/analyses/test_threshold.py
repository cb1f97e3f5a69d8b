"""Defect or not: the threshold keeps its promise where it was fitted, and figures are counted on the test images."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from evaluation.analyses.threshold import DefectDetection, measure_detection, threshold_for_miss_rate, why_no_detection
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import Resampling
from tests.evaluation.made_up import PARAMS, calibrated_predictions


def measure(predictions: Predictions, **changed: float) -> DefectDetection:
    test, val = predictions.select("test"), predictions.select("val")
    params = PARAMS.model_copy(update=changed)
    return measure_detection(test, val, "Free", Resampling(test.groups, params), params)


@pytest.mark.parametrize("max_miss_rate", [0.0, 0.05, 0.1, 0.5])
def test_the_threshold_is_the_highest_that_keeps_the_miss_rate(max_miss_rate: float) -> None:
    rng = np.random.default_rng(1)
    scores, is_defect = rng.random(100), np.arange(100) < 40
    threshold = threshold_for_miss_rate(scores, is_defect, max_miss_rate)
    assert (scores[is_defect] < threshold).mean() <= max_miss_rate
    assert (scores[is_defect] < threshold + 1e-9).mean() > max_miss_rate


def test_a_share_that_floats_cannot_hold_allows_its_whole_number() -> None:
    scores = np.arange(100) / 100
    assert 0.29 * 100 < 29
    assert (scores < threshold_for_miss_rate(scores, np.ones(100, bool), 0.29)).sum() == 29


def test_test_figures_are_counted_at_the_threshold_of_the_validation_images() -> None:
    predictions = calibrated_predictions()
    got = measure(predictions, max_miss_rate=0.1)
    val, test = predictions.select("val"), predictions.select("test")
    threshold = threshold_for_miss_rate(1 - val.probs[:, 2], val.labels != 2, 0.1)
    called, is_defect = 1 - test.probs[:, 2] >= threshold, test.labels != 2
    assert got.chosen.threshold == threshold
    assert got.chosen.miss_rate.value == pytest.approx((~called[is_defect]).mean())
    assert got.chosen.false_alarm_rate.value == pytest.approx(called[~is_defect].mean())
    assert got.chosen.f1.value == pytest.approx(f1_score(is_defect, called))
    cost = (10 * (~called & is_defect).sum() + (called & ~is_defect).sum()) / len(called)
    assert got.chosen.cost.value == pytest.approx(cost)
    assert got.at_most_probable.f1.value == pytest.approx(f1_score(is_defect, test.predicted != 2))
    rate = got.chosen.miss_rate
    assert rate.value is not None
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < rate.value < rate.high


def test_dearer_misses_lower_the_cheapest_threshold() -> None:
    predictions = calibrated_predictions()
    thresholds = [measure(predictions, miss_cost=cost).cheapest.threshold for cost in (0.2, 1.0, 50.0)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] > thresholds[-1]


def test_the_curve_trades_misses_for_false_alarms_and_ends_nowhere_cheaper_than_its_least() -> None:
    curve = measure(calibrated_predictions()).curve
    misses, alarms = [p.miss_rate for p in curve], [p.false_alarm_rate for p in curve]
    assert misses == sorted(misses)
    assert alarms == sorted(alarms, reverse=True)
    assert curve[0].miss_rate == 0
    assert curve[0].false_alarm_rate == 1


def test_why_not_is_said_in_words() -> None:
    predictions = calibrated_predictions(num_groups=20)
    test, val = predictions.select("test"), predictions.select("val")
    assert why_no_detection(test, val, "Free") == ""
    assert "names no normal class" in why_no_detection(test, val, "")
    assert "no such class" in why_no_detection(test, val, "good")
    assert "validation images are not of both kinds" in why_no_detection(test, None, "Free")
    defects = test.take(np.flatnonzero(test.labels != 2))
    assert "test images are not of both kinds" in why_no_detection(defects, val, "Free")


def test_groups_widen_the_interval_of_the_miss_rate() -> None:
    predictions = calibrated_predictions(num_groups=120, per_group=6)
    alone = pd.DataFrame({"path": predictions.paths, "group": predictions.paths, "split": predictions.splits})
    alone["label"] = [predictions.classes[i] for i in predictions.labels]
    widths = []
    for data in (predictions, Predictions.from_table(alone, predictions.probs, predictions.classes)):
        rate = measure(data).at_most_probable.miss_rate
        assert rate.low is not None
        assert rate.high is not None
        widths.append(rate.high - rate.low)
    assert widths[0] > 1.2 * widths[1]


def test_a_false_alarm_does_not_pull_the_f1_of_few_defects_to_zero() -> None:
    table = pd.DataFrame(
        {"path": [f"{i}.png" for i in range(20)], "label": (["Free"] * 8 + ["Crack"] * 2) * 2, "split": "test"}
    ).assign(group=lambda rows: rows["path"])
    table.loc[10:, "split"] = "val"
    defect = np.array([0.1] * 7 + [0.9] * 3 + [0.1] * 8 + [0.9] * 2)  # one false alarm, on a test picture
    got = measure(Predictions.from_table(table, np.column_stack([defect, 1 - defect]), ("Crack", "Free")))
    # Where a resample holds a defective picture at all, F1 is at least that of one of them and nine false alarms.
    assert got.chosen.f1.low is not None
    assert got.chosen.f1.low >= 2 / 11
