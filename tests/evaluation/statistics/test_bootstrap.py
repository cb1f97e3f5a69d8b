"""Intervals over groups: against a plain loop, against theory, and in bounded memory."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import f1_score

from evaluation.params import EvaluateParams
from evaluation.statistics import bootstrap
from evaluation.statistics.bootstrap import bootstrap_intervals, metrics_of_resamples

PARAMS = EvaluateParams(seed=0, confidence=0.9, bootstrap_samples=2000)


def grouped_data(num_groups: int, per_group: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, predictions and groups; all images of a group share its class, and are right together."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), per_group)
    labels = (np.arange(num_groups) % 3)[groups]
    answers = np.where(rng.random(num_groups) < 0.7, np.arange(num_groups) % 3, rng.integers(0, 3, num_groups))
    return labels, answers[groups], groups.astype(str)


def test_ends_agree_with_a_plain_loop_over_resampled_groups() -> None:
    labels, predicted, groups = grouped_data(num_groups=24, per_group=4, seed=1)
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    rng = np.random.default_rng(99)
    accuracies, macro_f1s, recalls = [], [], []
    for _ in range(PARAMS.bootstrap_samples):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        right = predicted[rows] == labels[rows]
        accuracies.append(right.mean())
        macro_f1s.append(f1_score(labels[rows], predicted[rows], average="macro", zero_division=0.0))
        recalls.append(right[labels[rows] == 0].mean())
    got = bootstrap_intervals(labels, predicted, groups, 3, PARAMS)
    # Another generator draws other resamples; the ends of 2000 of them scatter by about 0.01.
    for values, ends in (
        (accuracies, got.headline["accuracy"]),
        (macro_f1s, got.headline["macro_f1"]),
        (recalls, got.per_class["recall"][:, 0]),
    ):
        np.testing.assert_allclose(ends, np.quantile(values, [0.05, 0.95]), atol=0.03)


def test_groups_of_several_images_give_wider_intervals_than_images_alone() -> None:
    labels, predicted, groups = grouped_data(num_groups=30, per_group=9, seed=2)
    over_groups = np.ptp(bootstrap_intervals(labels, predicted, groups, 3, PARAMS).headline["accuracy"])
    alone = np.arange(len(labels)).astype(str)
    over_images = np.ptp(bootstrap_intervals(labels, predicted, alone, 3, PARAMS).headline["accuracy"])
    assert over_groups == pytest.approx(3 * over_images, rel=0.15)  # sqrt(9): images of a group are one fact


def test_the_interval_of_accuracy_has_the_width_of_a_binomial_when_every_image_is_a_group() -> None:
    predicted = np.zeros(400, dtype=int)
    labels = (np.arange(400) < 100).astype(int)
    got = bootstrap_intervals(labels, predicted, np.arange(400).astype(str), 2, PARAMS)
    half_width = 1.645 * np.sqrt(0.75 * 0.25 / 400)
    np.testing.assert_allclose(got.headline["accuracy"], [0.75 - half_width, 0.75 + half_width], atol=0.01)


def test_the_same_seed_gives_the_same_ends_and_another_does_not() -> None:
    data = grouped_data(num_groups=40, per_group=3, seed=3)
    first, again = (bootstrap_intervals(*data, 3, PARAMS) for _ in range(2))
    other = bootstrap_intervals(*data, 3, PARAMS.model_copy(update={"seed": 1}))
    assert first.headline["macro_f1"].tolist() == again.headline["macro_f1"].tolist()
    assert first.headline["macro_f1"].tolist() != other.headline["macro_f1"].tolist()


def test_the_order_of_images_does_not_matter() -> None:
    labels, predicted, groups = grouped_data(num_groups=20, per_group=3, seed=4)
    order = np.random.default_rng(0).permutation(len(labels))
    first = bootstrap_intervals(labels, predicted, groups, 3, PARAMS)
    shuffled = bootstrap_intervals(labels[order], predicted[order], groups[order], 3, PARAMS)
    assert first.headline["macro_f1"].tolist() == shuffled.headline["macro_f1"].tolist()


def test_a_class_of_one_group_gets_no_interval_instead_of_a_false_certainty() -> None:
    labels, groups = np.array([0, 0, 0, 0, 1, 1]), np.array(["a", "a", "b", "c", "d", "d"])
    got = bootstrap_intervals(labels, labels, groups, 2, PARAMS)
    assert np.isnan(got.per_class["recall"][:, 1]).all()
    assert np.isnan(got.per_class["f1"][:, 1]).all()
    assert got.per_class["recall"][:, 0].tolist() == [1, 1]


def test_a_single_group_gives_no_interval_at_all() -> None:
    got = bootstrap_intervals([0, 1], [0, 0], ["a", "a"], 2, PARAMS)
    assert all(np.isnan(ends).all() for ends in got.headline.values())


def test_resamples_without_a_class_are_counted_and_skipped() -> None:
    labels, groups = np.array([0] * 8 + [1] * 2), np.arange(10).astype(str)
    got = bootstrap_intervals(labels, labels, groups, 3, PARAMS)
    share = got.num_resamples_missing_a_class / PARAMS.bootstrap_samples
    assert share == pytest.approx(0.8**10, abs=0.03)
    assert got.per_class["recall"][:, 1].tolist() == [1, 1]
    assert np.isnan(got.per_class["recall"][:, 2]).all()


def test_a_class_that_a_resample_lacks_is_left_out_of_its_macro_f1() -> None:
    # Twice a right image and twice a false positive of class 1, no image of class 1, nothing of class 2.
    counts = np.array([[[2, 0, 0], [4, 0, 0], [2, 2, 0]]])  # right, of the class, called so
    lacking = metrics_of_resamples(counts, np.array([True, True, False]))
    np.testing.assert_allclose(lacking.f1, [[2 / 3, np.nan, np.nan]])
    np.testing.assert_allclose(lacking.macro_f1, [2 / 3])
    # Where the data hold no image of class 1 at all, its false positives count as in the point estimate.
    never_there = metrics_of_resamples(counts, np.array([True, False, False]))
    np.testing.assert_allclose(never_there.f1, [[2 / 3, 0, np.nan]])
    np.testing.assert_allclose(never_there.macro_f1, [1 / 3])


def test_one_false_positive_of_a_rare_class_does_not_pull_its_interval_to_zero() -> None:
    labels, predicted = np.array([0] * 8 + [1] * 2), np.array([0] * 7 + [1] * 3)
    got = bootstrap_intervals(labels, predicted, np.arange(10).astype(str), 2, PARAMS)
    # 11% of the resamples lack class 1. In any other its F1 is at least that of one image and nine false positives.
    assert got.per_class["f1"][0, 1] >= 2 / 11
    assert got.headline["macro_f1"][0] > 0.5


def test_batches_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    data = grouped_data(num_groups=12, per_group=2, seed=5)
    whole = bootstrap_intervals(*data, 3, PARAMS)
    monkeypatch.setattr(bootstrap, "_BATCH_NUMBERS", 12 * 7)
    batched = bootstrap_intervals(*data, 3, PARAMS)
    assert whole.headline["accuracy"].tolist() == batched.headline["accuracy"].tolist()


def test_a_hundred_thousand_images_of_thirty_classes_stay_in_bounded_memory() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 30, 100_000), rng.integers(0, 30, 100_000)
    few = PARAMS.model_copy(update={"bootstrap_samples": 100})
    tracemalloc.start()
    got = bootstrap_intervals(labels, predicted, rng.permutation(100_000).astype(str), 30, few)
    peak_mb = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert peak_mb < 400  # dense matrices of every group would take 690 MB
    assert got.headline["accuracy"] == pytest.approx(1 / 30, abs=0.005)
