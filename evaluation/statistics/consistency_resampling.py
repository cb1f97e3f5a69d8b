"""Is the expected calibration error larger than probabilities that are calibrated would show on these images?

The error is a mean of absolute gaps, so that it is above 0 for every model and its bootstrap interval cannot hold 0.
Instead answers are drawn right with exactly the probability stated, many times, and the error of each draw is compared
with the one measured (consistency resampling: Broecker and Smith 2007, Increasing the reliability of reliability
diagrams).

Images of one group are right or wrong together in the draws, too: each takes its group's random number with the
probability whose square is the intraclass correlation of right minus stated, and one of its own otherwise. Two images
of equal stated probability then correlate as much as they were found to.
"""

import numpy as np
import numpy.typing as npt

from evaluation.statistics.bootstrap import MIN_GROUPS, FloatArray, Resampling
from evaluation.statistics.clustered_statistics import intraclass_correlation


def p_value_of_calibration(
    confidence: FloatArray, right: npt.NDArray[np.bool_], bins: npt.NDArray[np.intp], resampling: Resampling
) -> float | None:
    """Return the chance of an expected calibration error as large as measured if the probabilities were calibrated.

    confidence: `(N,)` stated probability of the answer. right: `(N,)`. bins: `(N,)` each image's bin. The chance is at
    least 1 / (draws + 1); None for fewer than two groups, of which nothing is known of how alike images are.
    """
    if resampling.num_groups < MIN_GROUPS:
        return None
    group_ids = resampling.group_ids
    shares_draw = np.float32(np.sqrt(intraclass_correlation(right - confidence, group_ids)))
    measured = _sum_of_gaps(confidence - right, bins)
    rng = np.random.default_rng(resampling.params.seed)
    num_draws, num_as_large = resampling.params.bootstrap_samples, 0
    for _ in range(num_draws):
        drawn = rng.random(len(confidence), dtype=np.float32)
        if shares_draw > 0:
            shared = rng.random(resampling.num_groups, dtype=np.float32)[group_ids]
            drawn = np.where(rng.random(len(confidence), dtype=np.float32) < shares_draw, shared, drawn)
        # A model that is calibrated to the last bit of its floats is not to lose by them.
        num_as_large += _sum_of_gaps(confidence - (drawn < confidence), bins) >= measured * (1 - 1e-9)
    return (1 + int(num_as_large)) / (1 + num_draws)


def _sum_of_gaps(differences: FloatArray, bins: npt.NDArray[np.intp]) -> float:
    """Return the expected calibration error times the number of images."""
    return float(np.abs(np.bincount(bins, differences)).sum())
