"""Ranking figures: values as scikit-learn's, ties included; intervals as its figures over the same resamples."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from evaluation.params import EvaluateParams
from evaluation.statistics.bootstrap import Resampling
from evaluation.statistics.ranking import ranking_figures

PARAMS = EvaluateParams(seed=0, confidence=0.9, bootstrap_samples=100)


def scored(
    num_groups: int, per_group: int, digits: int, share: float = 0.4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(num_groups), per_group).astype(str).astype(object)
    is_positive = np.repeat(rng.random(num_groups) < share, per_group)
    alike = np.repeat(rng.normal(0, 0.2, num_groups), per_group)  # pictures of one object score nearly the same
    scores = np.round(np.clip(0.4 + 0.2 * is_positive + alike + rng.normal(0, 0.05, len(groups)), 0, 1), digits)
    return scores, is_positive, groups


@pytest.mark.parametrize("digits", [1, 12])
def test_values_are_those_of_scikit_learn(digits: int) -> None:
    scores, is_positive, groups = scored(60, 3, digits)
    got = ranking_figures(scores, is_positive, Resampling(groups, PARAMS))
    assert got.average_precision.value == pytest.approx(average_precision_score(is_positive, scores))
    assert got.roc_auc.value == pytest.approx(roc_auc_score(is_positive, scores))


@pytest.mark.parametrize("digits", [1, 12])
@pytest.mark.parametrize("share", [0.4, 0.7])
def test_intervals_are_those_of_scikit_learn_over_the_same_resamples(digits: int, share: float) -> None:
    scores, is_positive, groups = scored(25, 6, digits, share)
    resampling = Resampling(groups, PARAMS)
    weights = np.concatenate(list(resampling.draws()))[:, resampling.group_ids]
    precisions = [average_precision_score(is_positive, scores, sample_weight=w) for w in weights]
    has_both = [w[is_positive].any() and w[~is_positive].any() for w in weights]
    areas = [roc_auc_score(is_positive, scores, sample_weight=w) for w in weights[has_both]]
    got = ranking_figures(scores, is_positive, resampling)
    for figure, values in ((got.average_precision, precisions), (got.roc_auc, areas)):
        assert [figure.low, figure.high] == pytest.approx(np.quantile(values, [0.05, 0.95]), abs=1e-12)


def test_batches_of_resamples_give_what_one_batch_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, is_positive, groups = scored(25, 6, 12)
    at_once = ranking_figures(scores, is_positive, Resampling(groups, PARAMS))
    monkeypatch.setattr("evaluation.statistics.bootstrap._BATCH_NUMBERS", 7 * 25 * 6)
    assert ranking_figures(scores, is_positive, Resampling(groups, PARAMS)) == at_once


def test_without_images_of_both_kinds_nothing_is_claimed() -> None:
    scores, _, groups = scored(10, 1, 3)
    got = ranking_figures(scores, np.zeros(10, bool), Resampling(groups, PARAMS))
    assert got.average_precision.value is None
    assert got.roc_auc.value is None


def test_positives_of_one_group_get_no_interval() -> None:
    scores, _, groups = scored(10, 2, 3)
    got = ranking_figures(scores, groups == "3", Resampling(groups, PARAMS))
    assert got.average_precision.value is not None
    assert got.average_precision.low is None
