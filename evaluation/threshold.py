"""Defect or not: the threshold on the defect probability that a stated miss rate asks for, and what it costs."""

from evaluation.document import Count, Document, Estimate, Figure, Share


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
