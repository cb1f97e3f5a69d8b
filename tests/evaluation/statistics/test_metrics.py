"""Metrics against values computed by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as reference

from evaluation.statistics.metrics import confusion_matrix, metrics_of_confusion


def test_figures_equal_those_computed_by_hand() -> None:
    # Class 0: 3 of 4 found, one taken for 1. Class 1: 1 of 2 found, one taken for 2. Class 2: both found.
    confusion = np.array([[3, 1, 0], [0, 1, 1], [0, 0, 2]])
    metrics = metrics_of_confusion(confusion)
    np.testing.assert_allclose(metrics.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(metrics.recall, [3 / 4, 1 / 2, 1])
    np.testing.assert_allclose(metrics.f1, [6 / 7, 1 / 2, 4 / 5])
    assert metrics.headline() == pytest.approx(
        {"accuracy": 6 / 8, "macro_f1": (6 / 7 + 1 / 2 + 4 / 5) / 3, "balanced_accuracy": 3 / 4}
    )
    assert metrics.support.tolist() == [4, 2, 2]


def test_rows_are_actual_and_columns_predicted_classes() -> None:
    assert confusion_matrix([0, 0, 2], [1, 0, 1], 3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    metrics = metrics_of_confusion(confusion_matrix(labels, predicted, 5))
    expected = reference.precision_recall_fscore_support(labels, predicted)
    for got, want in zip((metrics.precision, metrics.recall, metrics.f1, metrics.support), expected, strict=True):
        np.testing.assert_allclose(got, want)
    assert metrics.macro_f1 == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert metrics.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(labels, predicted))


def test_a_class_that_is_never_predicted_has_no_precision_and_counts_as_zero_in_macro_f1() -> None:
    labels, predicted = np.array([0, 0, 1]), np.array([0, 0, 0])
    metrics = metrics_of_confusion(confusion_matrix(labels, predicted, 2))
    assert np.isnan(metrics.precision[1])
    assert metrics.f1[1] == 0
    assert metrics.macro_f1 == pytest.approx(0.8 / 2)


def test_a_class_that_occurs_nowhere_is_left_out_of_averages() -> None:
    labels, predicted = np.array([0, 1, 1]), np.array([0, 1, 0])
    metrics = metrics_of_confusion(confusion_matrix(labels, predicted, 3))
    assert np.isnan(metrics.f1[2])
    assert metrics.macro_f1 == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert metrics.balanced_accuracy == pytest.approx(0.75)


def test_a_class_that_is_predicted_but_never_there_lowers_macro_f1_but_not_balanced_accuracy() -> None:
    metrics = metrics_of_confusion(confusion_matrix([0, 0, 1], [0, 2, 1], 3))
    assert metrics.f1[2] == 0
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert metrics.balanced_accuracy == pytest.approx(0.75)


def test_many_matrices_at_once_give_what_each_gives_alone() -> None:
    confusions = np.random.default_rng(0).integers(0, 9, size=(4, 3, 3))
    together = metrics_of_confusion(confusions)
    for index, confusion in enumerate(confusions):
        alone = metrics_of_confusion(confusion)
        assert together.macro_f1[index] == pytest.approx(float(alone.macro_f1))
        np.testing.assert_allclose(together.recall[index], alone.recall)


def test_no_image_has_no_metrics() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        metrics_of_confusion(confusion_matrix([], [], 3))


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0.5, 1.0]])
def test_an_index_that_is_no_class_is_refused(labels: list[float]) -> None:
    with pytest.raises(ValueError, match=r"class indices in \[0, 3\)"):
        confusion_matrix(labels, [0, 1], 3)


def test_labels_and_predictions_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        confusion_matrix([0, 1], [0], 2)


def test_mcc_is_that_of_scikit_learn_and_undefined_where_one_side_is_constant() -> None:
    rng = np.random.default_rng(8)
    labels, predicted = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    predicted[:30] = labels[:30]
    got = metrics_of_confusion(confusion_matrix(labels, predicted, 4))
    assert got.mcc == pytest.approx(reference.matthews_corrcoef(labels, predicted))
    assert np.isnan(metrics_of_confusion(confusion_matrix(labels, np.zeros(60, int), 4)).mcc)
