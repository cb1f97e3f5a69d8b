"""How figures read in the report and the model card: the same number is written the same way in both."""

from collections.abc import Iterable

from dataset.manifest import Protocol
from evaluation.analyses.calibration import Calibration
from evaluation.analyses.weak_slices import Condition
from evaluation.comparison import Difference
from evaluation.document import Figure
from evaluation.evaluation import Confusion, Estimate, Evaluation

HEADLINE_NAMES = {"macro_f1": "Macro-F1", "balanced_accuracy": "Balanced accuracy", "accuracy": "Accuracy"}
OVERALL_NAMES = HEADLINE_NAMES | {"mcc": "Matthews' correlation coefficient (−1 to 1)"}
PROTOCOL_NAMES: dict[Protocol, str] = {"group": "split by group", "image": "split by image"}


def figure(value: float | None) -> str:
    """Write a figure in [0, 1] with three decimals, or say that it is undefined."""
    return "undefined" if value is None else f"{value:.3f}".replace("-", "−")


def number(value: float | None) -> str:
    """Write a figure of any range: three decimals in [-1, 1], else four digits that count."""
    if value is None:
        return "undefined"
    return (f"{value:.3f}" if abs(value) <= 1 else f"{value:.4g}").replace("-", "−")


def setting(value: float) -> str:
    """Write a number that was chosen and not measured, such as a cost or a level, as it was chosen: 10, 0.5, −1."""
    return f"{value:.6g}".replace("-", "−")


def interval(estimate: Estimate | Figure) -> str:
    """Write the ends of an interval, or say that there is none; ends below zero are parted by a word."""
    if estimate.low is None or estimate.high is None:
        return "no interval"
    if estimate.low < 0:
        return f"{estimate.low:.3f} to {estimate.high:.3f}".replace("-", "−")
    return f"{estimate.low:.3f}–{estimate.high:.3f}"


def estimate_in_words(estimate: Estimate | Figure) -> str:
    """Write a figure with its interval in brackets."""
    return "undefined" if estimate.value is None else f"{figure(estimate.value)} ({interval(estimate)})"


def signed_interval(estimate: Figure) -> str:
    """Write the ends of the interval of a difference, with their signs."""
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return f"{gain(estimate.low)} to {gain(estimate.high)}"


def points(share: float) -> str:
    """Write a difference of shares in percentage points."""
    return f"{100 * share:.1f} percentage points"


def conditions_in_words(conditions: Iterable[Condition]) -> str:
    """Write the conditions of a slice: `exposure: 3 and brightness: 120 to 160`."""
    return " and ".join(f"{c.attribute}: {c.value or 'not stated'}" for c in conditions)


def counted(number: int, noun: str) -> str:
    """Write `1 image`, `2 images`; the plural takes an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def percentage(share: float) -> str:
    """Write a share in [0, 1] as whole per cent, but never round to a false 0% or 100%."""
    rounded = round(100 * share)
    if rounded == 100 and share < 1:
        return "over 99%"
    if rounded == 0 and share > 0:
        return "under 1%"
    return f"{rounded}%"


def confidence(evaluation: Evaluation) -> str:
    """Write the confidence of intervals exactly: `95%`, `99.5%`."""
    return share_of_resamples(evaluation.confidence)


def confusion_in_words(confusion: Confusion, evaluation: Evaluation) -> tuple[str, str]:
    """Say what share of a class one kind of error takes: text between actual and predicted name, and text after it."""
    actual = next(c for c in evaluation.per_class if c.name == confusion.actual)
    share = percentage(confusion.num_images / actual.num_images)
    before = f"{confusion.num_images} of {counted(actual.num_images, 'image')} of"
    return before, f"({share}; from {confusion.num_groups} of {counted(actual.num_groups, 'group')})"


def share_of_resamples(share: float) -> str:
    """Write the confidence of intervals exactly: `95%`, `99.5%`."""
    return f"{100 * share:.6g}%"


def gain(value: float | None) -> str:
    """Write a difference of figures with its sign and three decimals, or say that it is undefined."""
    if value is None:
        return "undefined"
    written = f"{value:+.3f}".replace("-", "−")
    return "0.000" if written[1:] == "0.000" else written


def difference_in_words(difference: Difference) -> str:
    """Write a difference with its interval in brackets."""
    if difference.low is None or difference.high is None:
        return f"{gain(difference.difference)} (no interval)"
    return f"{gain(difference.difference)} ({gain(difference.low)} to {gain(difference.high)})"


def without_errors_in_words(calibration: Calibration, evaluation: Evaluation) -> str:
    """Say what calibration figures mean where no answer is wrong: accuracy is then 1 in every resample."""
    gap, chance = calibration.overconfidence, calibration.expected_error_p_value
    told = (
        ""
        if chance is None
        else (
            f" Calibrated probabilities would show an expected calibration error as large with a chance of "
            f"{p_value(chance)}."
        )
    )
    return (
        f"All {counted(evaluation.num_images, 'test image')} were answered right, and the stated probability is on "
        f"average {points(abs(gap.value or 0))} below that ({confidence(evaluation)} interval of stated minus actual "
        f"{signed_interval(gap)}). Without an error accuracy is the same in every resample, so that the interval holds "
        f"the spread of the stated probabilities only.{told}"
    )


def p_value(value: float) -> str:
    """Write a probability with two significant digits; what is smaller than 0.001 is said to be so."""
    return "<0.001" if value < 0.001 else f"{value:.2g}"
