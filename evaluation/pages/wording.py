"""How figures read in the report and the model card: the same number is written the same way in both."""

from collections.abc import Iterable

from dataset.manifest import Protocol
from evaluation.analyses.weak_slices import Condition
from evaluation.comparison import Difference
from evaluation.document import Figure
from evaluation.evaluation import Estimate, Evaluation

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
    between = " to " if estimate.low < 0 else "–"
    return f"{number(estimate.low)}{between}{number(estimate.high)}"


def estimate_in_words(estimate: Estimate | Figure) -> str:
    """Write a figure with its interval in brackets."""
    return "undefined" if estimate.value is None else f"{number(estimate.value)} ({interval(estimate)})"


def signed_interval(estimate: Figure | Difference) -> str:
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


def p_value(value: float) -> str:
    """Write a probability with two significant digits; what is smaller than 0.001 is said to be so."""
    return "under 0.001" if value < 0.001 else f"{value:.2g}"


def sentence(text: str) -> str:
    """End a text of the data's own with a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
