"""How figures read in the report and the model card: the same number is written the same way in both."""

from dataset.manifest import Protocol
from evaluation.comparison import Difference
from evaluation.evaluation import Confusion, Estimate, Evaluation

HEADLINE_NAMES = {"macro_f1": "Macro-F1", "balanced_accuracy": "Balanced accuracy", "accuracy": "Accuracy"}
PROTOCOL_NAMES: dict[Protocol, str] = {"group": "split by group", "image": "split by image"}


def figure(value: float | None) -> str:
    """Write a figure in [0, 1] with three decimals, or say that it is undefined."""
    return "undefined" if value is None else f"{value:.3f}"


def interval(estimate: Estimate) -> str:
    """Write the ends of an interval, or say that there is none."""
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return f"{estimate.low:.3f}–{estimate.high:.3f}"


def estimate_in_words(estimate: Estimate) -> str:
    """Write a figure with its interval in brackets."""
    return "undefined" if estimate.value is None else f"{figure(estimate.value)} ({interval(estimate)})"


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


def p_value(value: float) -> str:
    """Write a probability with two significant digits; what is smaller than 0.001 is said to be so."""
    return "under 0.001" if value < 0.001 else f"{value:.2g}"
