"""Calibration: a planted miscalibration is found, and a calibrated model is not accused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from evaluation.analyses.calibration import NUM_BINS, Calibration, measure_calibration, remaining_temperature
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import Resampling
from tests.evaluation.made_up import CLASSES, PARAMS, calibrated_predictions, sharpened


def measure(predictions: Predictions) -> Calibration:
    test = predictions.select("test")
    return measure_calibration(test, Resampling(test.groups, PARAMS), remaining_temperature(predictions))


def test_a_calibrated_model_is_called_calibrated() -> None:
    calibration = measure(calibrated_predictions())
    assert not calibration.is_miscalibrated
    assert calibration.temperature == pytest.approx(1, abs=0.15)
    assert calibration.expected_error.value is not None
    assert calibration.expected_error.value < 0.08  # 300 images in 15 bins scatter that much


@pytest.mark.parametrize(("temperature", "sign"), [(0.4, 1), (2.5, -1)])
def test_a_planted_miscalibration_is_found_with_its_direction_and_size(temperature: float, sign: int) -> None:
    calibration = measure(sharpened(calibrated_predictions(), temperature))
    assert calibration.is_miscalibrated
    assert calibration.overconfidence.value is not None
    assert np.sign(calibration.overconfidence.value) == sign
    assert calibration.expected_error.value is not None
    assert calibration.expected_error.value > 0.08
    assert calibration.temperature == pytest.approx(1 / temperature, rel=0.15)


def stated(confidence: np.ndarray, right: np.ndarray, per_group: int = 1) -> Predictions:
    """Answers of stated probability, the rest on one other class; `per_group` images in a row are of one group."""
    rows = pd.DataFrame({"path": [f"{i}.png" for i in range(len(right))], "split": "test"})
    rows["group"] = [f"g{i // per_group}" for i in range(len(right))]
    rows["label"] = np.where(right, CLASSES[0], CLASSES[1])
    probs = np.column_stack([confidence, 1 - confidence, np.zeros(len(right))])
    return Predictions.from_table(rows, probs, CLASSES)


def test_gaps_that_cancel_out_on_average_are_found() -> None:
    """Half the answers at 0.95, half at 0.55, three of four right in both."""
    calibration = measure(stated(np.repeat([0.95, 0.55], 400), np.tile([True, True, True, False], 200)))
    assert calibration.expected_error.value == pytest.approx(0.2)
    assert calibration.overconfidence.value == pytest.approx(0, abs=1e-9)
    assert not calibration.is_off_on_average
    assert calibration.expected_error_p_value == pytest.approx(1 / 301)
    assert calibration.is_miscalibrated


def test_one_sure_and_right_object_more_or_less_is_no_miscalibration() -> None:
    """Ten objects of twenty images, right together: gaps that would be beyond chance for 200 independent images."""
    right, confidence = np.repeat([True] * 6 + [False] * 4, 20), np.full(200, 0.75)
    assert not measure(stated(confidence, right, per_group=20)).is_miscalibrated
    assert measure(stated(confidence, right)).is_miscalibrated


def test_one_group_says_nothing_of_calibration() -> None:
    calibration = measure(stated(np.full(20, 0.9), np.zeros(20, bool), per_group=20))
    assert calibration.expected_error_p_value is None
    assert not calibration.is_miscalibrated


def test_figures_agree_with_their_definitions_and_with_scikit_learn() -> None:
    test = calibrated_predictions(num_groups=80).select("test")
    calibration = measure_calibration(test, Resampling(test.groups, PARAMS), None)
    assert calibration.brier.value == pytest.approx(
        brier_score_loss(test.labels, test.probs, labels=[0, 1, 2], scale_by_half=False)
    )
    assert calibration.log_loss.value == pytest.approx(log_loss(test.labels, test.probs, labels=[0, 1, 2]))
    confidence, right = test.probs.max(axis=1), test.predicted == test.labels
    gap = 0.0
    for index in range(NUM_BINS):
        rows = (confidence > index / NUM_BINS) & (confidence <= (index + 1) / NUM_BINS)
        if rows.any():
            gap += rows.mean() * abs(confidence[rows].mean() - right[rows].mean())
    assert calibration.expected_error.value == pytest.approx(gap)
    assert sum(b.num_images for b in calibration.bins) == len(right)


def test_a_probability_of_one_has_a_bin_and_an_impossible_label_a_finite_loss() -> None:
    test = calibrated_predictions(num_groups=4).select("test")
    probs = np.tile([1.0, 0.0, 0.0], (len(test.labels), 1))
    sure = Predictions(
        test.paths, np.array([1, *[0] * (len(probs) - 1)]), test.groups, test.splits, probs, CLASSES, test.attributes
    )
    calibration = measure_calibration(sure, Resampling(sure.groups, PARAMS), None)
    assert [(b.high, b.num_images) for b in calibration.bins] == [(1.0, len(probs))]
    assert calibration.log_loss.value == pytest.approx(-np.log(1e-12) / len(probs))


def test_without_validation_images_there_is_no_temperature() -> None:
    assert remaining_temperature(calibrated_predictions(num_groups=4).select("test")) is None
