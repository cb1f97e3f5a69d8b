"""Whether probabilities can be taken at their word: calibration error, Brier score, reliability, temperature."""

import numpy as np
import numpy.typing as npt

from evaluation.document import Count, Document, Estimate, Figure, Share
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import FloatArray, Resampling, Statistic, as_estimate, figure_of_sums, ratio
from evaluation.statistics.consistency_resampling import p_value_of_calibration
from evaluation.statistics.temperature import fit_temperature

NUM_BINS = 15
_LEAST_PROBABILITY = 1e-12
# Columns of the sums: images, confidence, right, Brier, log loss, then three numbers for every bin.
_IN_BIN, _CONFIDENT, _RIGHT = (slice(5 + i * NUM_BINS, 5 + (i + 1) * NUM_BINS) for i in range(3))


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
    `log_loss` is in nats, of probabilities of at least 1e-12. `expected_error_p_value` is the chance of an expected
    error as large if the probabilities were calibrated (`consistency_resampling`), null for fewer than two groups.
    `is_miscalibrated` says that the interval of `overconfidence` does not hold 0 or that this chance is at most one
    minus the intervals' confidence: gaps of opposite sign cancel out in the first and not in the second. `temperature`
    is what the logits would have to be divided by once more, fitted on the validation images: 1 for a model that is
    calibrated on them; null without validation images. The expected error of few images is biased upwards, and so is
    its interval.
    """

    expected_error: Estimate
    overconfidence: Figure
    brier: Figure
    log_loss: Figure
    is_miscalibrated: bool
    bins: tuple[ReliabilityBin, ...]
    temperature: float | None = None
    expected_error_p_value: Share | None = None

    @property
    def is_off_on_average(self) -> bool:
        """Whether the interval of `overconfidence` leaves 0 out."""
        low, high = self.overconfidence.low, self.overconfidence.high
        return low is not None and high is not None and (low > 0 or high < 0)


def measure_calibration(test: Predictions, resampling: Resampling, temperature: float | None) -> Calibration:
    """Compare probabilities with what happened; see `Calibration`."""
    # Edges belong to the bin below, so that a probability of exactly 1 has a bin.
    confidence = np.minimum(test.probs.max(axis=1), 1.0)
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    statistics: dict[str, Statistic] = {
        "expected_error": lambda s: np.abs(s[..., _CONFIDENT] - s[..., _RIGHT]).sum(axis=-1) / s[..., 0],
        "overconfidence": lambda s: (s[..., 1] - s[..., 2]) / s[..., 0],
        "brier": lambda s: s[..., 3] / s[..., 0],
        "log_loss": lambda s: s[..., 4] / s[..., 0],
    }
    occupied = sorted(set(bins.tolist()))
    statistics |= {f"bin{index}": _bin_accuracy(index) for index in occupied}
    bearing = {f"bin{index}": resampling.num_bearing(bins == index) for index in occupied}
    figures = figure_of_sums(resampling, _columns(test, confidence, bins), statistics, bearing)
    p_value = p_value_of_calibration(confidence, test.predicted == test.labels, bins, resampling)
    calibration = Calibration(
        expected_error=as_estimate(figures["expected_error"]),
        overconfidence=figures["overconfidence"],
        brier=figures["brier"],
        log_loss=figures["log_loss"],
        is_miscalibrated=False,
        bins=tuple(
            ReliabilityBin(
                low=index / NUM_BINS,
                high=(index + 1) / NUM_BINS,
                num_images=int((bins == index).sum()),
                confidence=float(confidence[bins == index].mean()),
                accuracy=as_estimate(figures[f"bin{index}"]),
            )
            for index in occupied
        ),
        temperature=temperature,
        expected_error_p_value=p_value,
    )
    is_beyond_chance = p_value is not None and p_value <= 1 - resampling.params.confidence
    return calibration.model_copy(update={"is_miscalibrated": calibration.is_off_on_average or is_beyond_chance})


def _columns(test: Predictions, confidence: FloatArray, bins: npt.NDArray[np.int_]) -> FloatArray:
    """Return `(N, 5 + 3 * NUM_BINS)` numbers whose sums give every figure."""
    right = (test.predicted == test.labels).astype(np.float64)
    truth = test.probs[np.arange(len(right)), test.labels]
    brier = (test.probs**2).sum(axis=1) - 2 * truth + 1
    log_loss = -np.log(np.maximum(truth, _LEAST_PROBABILITY))
    member = np.eye(NUM_BINS)[bins]
    overall = np.column_stack([np.ones(len(right)), confidence, right, brier, log_loss])
    return np.hstack([overall, member, member * confidence[:, None], member * right[:, None]])


def _bin_accuracy(index: int) -> Statistic:
    return lambda sums: ratio(sums[..., _RIGHT][..., index], sums[..., _IN_BIN][..., index])


def remaining_temperature(predictions: Predictions) -> float | None:
    """Fit a temperature to the validation images' probabilities: 1 if they are calibrated; None without such images."""
    rows = predictions.splits == "val"
    if not rows.any():
        return None
    return fit_temperature(np.log(np.maximum(predictions.probs[rows], _LEAST_PROBABILITY)), predictions.labels[rows])
