"""The test counts objects, not their pictures, and knows what so few of them can prove."""

import numpy as np
import pytest
from scipy.stats import binom, fisher_exact

from evaluation.statistics.clustered_statistics import intraclass_correlation, p_value_of_being_worse


def p_value(right: np.ndarray, inside: np.ndarray, groups: np.ndarray) -> float:
    return p_value_of_being_worse(right, inside, groups, intraclass_correlation(right, groups))


def test_it_is_fishers_exact_test_when_every_image_is_an_object() -> None:
    rng = np.random.default_rng(4)
    inside = np.arange(200) < 60
    right = rng.random(200) < np.where(inside, 0.7, 0.8)
    table = [[(right & inside).sum(), (~right & inside).sum()], [(right & ~inside).sum(), (~right & ~inside).sum()]]
    reference = fisher_exact(table, alternative="less").pvalue
    assert p_value(right, inside, np.arange(200)) == pytest.approx(reference)


def test_it_is_fishers_test_of_objects_when_their_images_are_all_alike() -> None:
    rng = np.random.default_rng(5)
    inside, right = np.arange(100) < 30, rng.random(100) < 0.7
    once = p_value(right, inside, np.arange(100))
    six_times = p_value(np.repeat(right, 6), np.repeat(inside, 6), np.repeat(np.arange(100), 6))
    assert six_times == pytest.approx(once)


def test_five_wrong_objects_where_half_are_wrong_are_no_proof() -> None:
    """By chance 1 of 32; a spread taken inside the part would be zero and the verdict certain."""
    groups = np.repeat(np.arange(200), 5)
    inside = groups < 5
    right = np.where(inside, False, groups % 2 == 0)
    assert p_value(right, inside, groups) == pytest.approx(binom.cdf(0, 5, 0.5), rel=0.25)


def test_one_picture_of_each_object_is_a_fact_of_its_own() -> None:
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(80), 6)
    inside = np.tile(np.arange(6) == 3, 80)
    right = rng.random(480) < np.where(inside, 0.7, 0.95)
    assert p_value(right, inside, groups) < 1e-4


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_correlation_is_the_share_of_objects_that_are_all_alike(share: float) -> None:
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(3000), 4)
    alike = (rng.random(3000) < share)[groups]
    right = np.where(alike, (rng.random(3000) < 0.7)[groups], rng.random(12000) < 0.7)
    assert intraclass_correlation(right, groups) == pytest.approx(share, abs=0.05)


def test_without_two_images_of_one_object_or_without_an_error_there_is_no_correlation() -> None:
    assert intraclass_correlation(np.array([True, False, True]), np.arange(3)) == 0
    assert intraclass_correlation(np.ones(6, bool), np.repeat(np.arange(3), 2)) == 0
