"""Whether the model treats the values of a sensitive attribute alike; only for data that have one.

Figures are those of fairlearn, held to it by test; they are computed from sums so that intervals over groups follow.
"""

import numpy as np
import numpy.typing as npt

from evaluation.document import Count, Document, Estimate, Figure
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import FloatArray, Resampling, Statistic, as_estimate, figure_of_sums, ratio

MAX_CLASSES = 20  # more outcomes than that nobody reads
# What is summed for every value of the attribute, in this order.
_IMAGES, _RIGHT, _SELECTED, _POSITIVE, _TRUE_POSITIVE, _FALSE_POSITIVE = range(6)
_NUM_SUMS = 6

BoolArray = npt.NDArray[np.bool_]


class AttributeGroup(Document):
    """Test images whose sensitive attribute has `value`.

    `selection_rate` is the share that gets the outcome, `true_positive_rate` that share among images which deserve it,
    `false_positive_rate` among those which do not.
    """

    value: str
    num_images: Count
    num_groups: Count
    accuracy: Estimate
    selection_rate: Estimate
    true_positive_rate: Estimate
    false_positive_rate: Estimate


class OutcomeFairness(Document):
    """One outcome, such as being called `Crack`.

    `disparate_impact` is the lowest selection rate over the highest (below 0.8 is the four-fifths rule's sign of
    disparate impact). `equal_opportunity_difference` is the highest true positive rate minus the lowest,
    `equalized_odds_difference` the larger of that and the same of false positive rates. A difference is undefined where
    the rate of a value is, and has no interval where fewer than two groups bear on one of its rates.
    """

    outcome: str
    groups: tuple[AttributeGroup, ...]
    disparate_impact: Figure
    equal_opportunity_difference: Figure
    equalized_odds_difference: Figure


class Fairness(Document):
    """Fairness by `attribute`; if it does not apply, `applies` is false and `reason` says why."""

    applies: bool
    reason: str
    attribute: str = ""
    num_left_out: Count = 0
    outcomes: tuple[OutcomeFairness, ...] = ()


def measure_fairness(test: Predictions, normal_class: str, resampling: Resampling, params: EvaluateParams) -> Fairness:
    """Compare the values of `params.sensitive_attribute`, outcome by outcome; see `Fairness`.

    Outcomes are every class and, where `normal_class` names one, not being called normal. Values with fewer images or
    groups than a slice must have are left out and counted.
    """
    attribute = params.sensitive_attribute
    if not attribute:
        return Fairness(applies=False, reason="No sensitive attribute is named (evaluate.sensitive_attribute).")
    if attribute not in test.attributes.columns:
        known = ", ".join(test.attributes.columns) or "none"
        return Fairness(
            applies=False, attribute=attribute, reason=f"The data have no attribute {attribute!r}; they have: {known}."
        )
    texts = test.attributes[attribute].to_numpy(dtype=object)
    values = [
        str(value)
        for value in sorted(set(texts) - {""})
        if (texts == value).sum() >= params.min_slice_images
        and resampling.num_bearing(texts == value) >= params.min_slice_groups
    ]
    kept = np.isin(texts.astype(str), values)
    if len(values) < 2:
        reason = (
            f"Fewer than two values of {attribute!r} have {params.min_slice_images} test images of "
            f"{params.min_slice_groups} groups."
        )
        return Fairness(applies=False, attribute=attribute, reason=reason, num_left_out=int((~kept).sum()))
    outcomes = []
    for index, name in enumerate(test.classes[:MAX_CLASSES]):
        outcomes.append(_outcome(name, test.labels == index, test.predicted == index, texts, values, resampling))
    if normal_class in test.classes:
        normal = test.classes.index(normal_class)
        name = f"not {normal_class}"
        outcomes.append(_outcome(name, test.labels != normal, test.predicted != normal, texts, values, resampling))
    return Fairness(
        applies=True, reason="", attribute=attribute, num_left_out=int((~kept).sum()), outcomes=tuple(outcomes)
    )


def _outcome(
    name: str,
    deserved: BoolArray,
    given: BoolArray,
    texts: npt.NDArray[np.object_],
    values: list[str],
    resampling: Resampling,
) -> OutcomeFairness:
    """Compare the values of the attribute for one outcome; `deserved` and `given` are `(N,)`."""
    members = [texts == value for value in values]
    facts = [np.ones(len(given)), deserved == given, given, deserved, deserved & given, ~deserved & given]
    columns = np.hstack([np.column_stack(facts) * member[:, None] for member in members])
    statistics: dict[str, Statistic] = dict(_DIFFERENCES)
    # A difference is as uncertain as the rate to which the fewest groups contribute.
    fewest, fewest_deserving, fewest_others = (
        min(resampling.num_bearing(member & among) for member in members)
        for among in (np.ones_like(deserved), deserved, ~deserved)
    )
    bearing = {
        "disparate_impact": fewest,
        "equal_opportunity_difference": fewest_deserving,
        "equalized_odds_difference": min(fewest_deserving, fewest_others),
    }
    for index, member in enumerate(members):
        among = {"true_positive_rate": member & deserved, "false_positive_rate": member & ~deserved}
        for rate in _RATES:
            statistics[f"{rate}{index}"] = _rate_of(rate, index)
            bearing[f"{rate}{index}"] = resampling.num_bearing(among.get(rate, member))
    figures = figure_of_sums(resampling, columns.astype(np.float64), statistics, bearing)
    groups = tuple(
        AttributeGroup(
            value=value,
            num_images=int(member.sum()),
            num_groups=resampling.num_bearing(member),
            **{rate: as_estimate(figures[f"{rate}{index}"]) for rate in _RATES},
        )
        for index, (value, member) in enumerate(zip(values, members, strict=True))
    )
    return OutcomeFairness(outcome=name, groups=groups, **{key: figures[key] for key in _DIFFERENCES})


def _rates(sums: FloatArray, name: str) -> FloatArray:
    """Return `(..., V)` rates of every value from `(..., V * 6)` sums; NaN where undefined."""
    by_value = sums.reshape(*sums.shape[:-1], -1, _NUM_SUMS)
    part, whole = {
        "accuracy": (by_value[..., _RIGHT], by_value[..., _IMAGES]),
        "selection_rate": (by_value[..., _SELECTED], by_value[..., _IMAGES]),
        "true_positive_rate": (by_value[..., _TRUE_POSITIVE], by_value[..., _POSITIVE]),
        "false_positive_rate": (by_value[..., _FALSE_POSITIVE], by_value[..., _IMAGES] - by_value[..., _POSITIVE]),
    }[name]
    return ratio(part, whole)


def _rate_of(name: str, index: int) -> Statistic:
    return lambda sums: _rates(sums, name)[..., index]


def _lowest_over_highest(rates: FloatArray) -> FloatArray:
    """Return NaN where a rate is undefined or nobody gets the outcome."""
    return ratio(rates.min(axis=-1), rates.max(axis=-1))


def _range(rates: FloatArray) -> FloatArray:
    """Return the highest rate minus the lowest; NaN where one is undefined."""
    return np.asarray(rates.max(axis=-1) - rates.min(axis=-1), dtype=np.float64)


_RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")
_DIFFERENCES: dict[str, Statistic] = {
    "disparate_impact": lambda s: _lowest_over_highest(_rates(s, "selection_rate")),
    "equal_opportunity_difference": lambda s: _range(_rates(s, "true_positive_rate")),
    "equalized_odds_difference": lambda s: np.maximum(
        _range(_rates(s, "true_positive_rate")), _range(_rates(s, "false_positive_rate"))
    ),
}
