"""Fairness figures are fairlearn's, intervals are over groups, and where nothing applies the reason is said."""

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_ratio,
    equal_opportunity_difference,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)

from evaluation.analyses.fairness import Fairness, measure_fairness
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import Resampling
from tests.evaluation.made_up import PARAMS, calibrated_predictions


def people(seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    skin = rng.choice(["dark", "light", "rare"], 400, p=[0.45, 0.53, 0.02])
    return calibrated_predictions(num_groups=400, per_group=2, attributes={"skin": np.repeat(skin, 2)}).select("test")


def measure(test: Predictions, attribute: str = "skin") -> Fairness:
    params = PARAMS.model_copy(update={"sensitive_attribute": attribute})
    return measure_fairness(test, "Free", Resampling(test.groups, params), params)


def test_figures_are_those_of_fairlearn() -> None:
    test = people()
    fairness = measure(test)
    assert fairness.applies
    assert [outcome.outcome for outcome in fairness.outcomes] == ["Crack", "Fray", "Free", "not Free"]
    skin = test.attributes["skin"].to_numpy()
    kept = skin != "rare"
    assert fairness.num_left_out == (~kept).sum() > 0
    for index, outcome in enumerate(fairness.outcomes[:3]):
        sides = {"y_true": (test.labels == index)[kept], "y_pred": (test.predicted == index)[kept]}
        given = {**sides, "sensitive_features": skin[kept]}
        assert outcome.disparate_impact.value == pytest.approx(demographic_parity_ratio(**given))
        assert outcome.equal_opportunity_difference.value == pytest.approx(equal_opportunity_difference(**given))
        assert outcome.equalized_odds_difference.value == pytest.approx(equalized_odds_difference(**given))
        metrics = {
            "selection_rate": selection_rate, "true_positive_rate": true_positive_rate,
            "false_positive_rate": false_positive_rate,
        }  # fmt: skip
        frame = MetricFrame(metrics=metrics, **given).by_group
        for group in outcome.groups:
            for name in metrics:
                assert getattr(group, name).value == pytest.approx(frame.loc[group.value, name])
                assert getattr(group, name).low < getattr(group, name).value < getattr(group, name).high


def test_a_planted_disadvantage_is_outside_chance_and_equal_treatment_is_not() -> None:
    test = people()
    probs = test.probs.copy()
    dark = (test.attributes["skin"] == "dark").to_numpy()
    probs[dark, 0] *= 0.1  # cracks are overlooked
    probs /= probs.sum(axis=1, keepdims=True)
    biased = Predictions(test.paths, test.labels, test.groups, test.splits, probs, test.classes, test.attributes)
    impact, fair = (measure(p).outcomes[0].disparate_impact for p in (biased, test))
    assert impact.high is not None
    assert impact.high < 0.8
    assert fair.high is not None
    assert fair.high > 0.8


@pytest.mark.parametrize(
    ("attribute", "reason"), [("", "No sensitive attribute is named"), ("age", "no attribute 'age'; they have: skin")]
)
def test_why_it_does_not_apply_is_said(attribute: str, reason: str) -> None:
    fairness = measure(people(), attribute)
    assert not fairness.applies
    assert reason in fairness.reason


def test_values_too_rare_to_compare_are_a_reason_too() -> None:
    test = people()
    few = test.take(np.flatnonzero(test.attributes["skin"] == "dark"))
    fairness = measure(few)
    assert not fairness.applies
    assert "Fewer than two values of 'skin'" in fairness.reason


def with_few_cracks(num_dark: int) -> Fairness:
    """Leave so many cracks of dark people, each of a group of its own; all cracks of light people stay."""
    test = people()
    dark = (test.attributes["skin"] == "dark").to_numpy() & (test.labels == 0)
    single = np.flatnonzero(dark)[np.unique(test.groups[dark], return_index=True)[1]]
    return measure(test.take(np.sort(np.concatenate([np.flatnonzero(~dark), single[:num_dark]]))))


def test_without_a_true_positive_rate_equalised_odds_is_undefined_as_equal_opportunity_is() -> None:
    crack = with_few_cracks(0).outcomes[0]
    assert crack.equal_opportunity_difference.value is None
    assert crack.equalized_odds_difference.value is None
    assert crack.disparate_impact.low is not None


def test_a_difference_has_no_interval_where_one_group_bears_on_one_of_its_rates() -> None:
    crack = with_few_cracks(1).outcomes[0]
    for difference in (crack.equal_opportunity_difference, crack.equalized_odds_difference):
        assert difference.value is not None
        assert (difference.low, difference.high) == (None, None)
    assert crack.equalized_odds_difference.value >= crack.equal_opportunity_difference.value  # type: ignore[operator]
    assert with_few_cracks(2).outcomes[0].equalized_odds_difference.low is not None
