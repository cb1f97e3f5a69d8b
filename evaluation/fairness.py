"""Whether the model treats the values of a sensitive attribute alike; only for data that have one."""

from evaluation.document import Count, Document, Estimate, Figure


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
    `equalized_odds_difference` the larger of that and the same of false positive rates.
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
