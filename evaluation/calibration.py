"""Whether probabilities can be taken at their word: calibration error, Brier score, reliability, temperature."""

from evaluation.document import Count, Document, Estimate, Figure, Share


class ReliabilityBin(Document):
    """Images whose highest probability lies in (`low`, `high`]; `accuracy` should equal `confidence`, its mean."""

    low: Share
    high: Share
    num_images: Count
    confidence: Share
    accuracy: Estimate


class Calibration(Document):
    """Calibration on the test images.

    `expected_error` (ECE) is the mean gap between the highest probability and accuracy, over bins of equal width and
    weighted by their images. `overconfidence` is mean highest probability minus accuracy: positive if the model is too
    sure. `brier` is the squared distance of the probabilities from the truth, summed over classes, in [0, 2];
    `log_loss` is in nats, of probabilities of at least 1e-12. `is_miscalibrated` says that the interval of
    `overconfidence` does not hold 0. `temperature` is what the model's logits were divided by, fitted on validation
    images; null if the predictions do not say.
    """

    expected_error: Estimate
    overconfidence: Figure
    brier: Figure
    log_loss: Figure
    is_miscalibrated: bool
    bins: tuple[ReliabilityBin, ...]
    temperature: float | None = None
