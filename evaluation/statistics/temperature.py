"""The temperature of a classifier: one number that makes its probabilities honest without changing any answer."""

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

TEMPERATURE_RANGE = (0.25, 10.0)


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the number by which logits are to be divided so that softmax gives the least log loss (Guo et al. 2017).

    logits: `(N, C)`, N >= 1; log-probabilities serve as well. labels: `(N,)` int. The result lies in [0.25, 10]: where
    every image is right the best temperature would be 0, certainty that no finite set of images supports.
    """
    from scipy.optimize import minimize_scalar  # takes half a second: whoever only reads figures needs none of it

    scores, actual = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if scores.ndim != 2 or actual.shape != scores.shape[:1] or not len(actual):
        raise ValueError(f"expected (N, C) logits and (N,) labels with N >= 1, got {scores.shape} and {actual.shape}")
    rows = np.arange(len(actual))

    def log_loss(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        return float((logsumexp(scaled, axis=1) - scaled[rows, actual]).mean())

    low, high = (float(np.log(end)) for end in TEMPERATURE_RANGE)
    return float(np.exp(minimize_scalar(log_loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x))
