"""Confidence intervals that respect groups: percentile bootstrap over physical objects, not over images.

Pictures of one object are right or wrong together, so a test set holds fewer independent facts than images. A resample
draws as many groups as there are, with replacement, and takes all images of each (cluster bootstrap: Davison and
Hinkley 1997, Bootstrap Methods and their Application, section 3.8; percentile interval: Efron and Tibshirani 1993,
chapter 13). A class may be missing from a resample; its own figures skip that resample and averages run over the
others, as `evaluation.metrics` states.

Not covered: groups that do not stand for the population, and the chance in training (one model is evaluated).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from evaluation.metrics import HEADLINE, PER_CLASS, Metrics, metrics_of_confusion
from evaluation.params import EvaluateParams

# One group alone is drawn in every resample and would show an interval of no width: certainty where there is none.
MIN_GROUPS = 2
# Numbers held at once by one batch of resamples: 32 MB as int64.
_BATCH_NUMBERS = 4_000_000

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Intervals:
    """Ends of the intervals; NaN where there are too few groups for one.

    headline: `(2,)` low and high by metric name. per_class: `(2, C)` by figure name.
    num_resamples_missing_a_class: resamples without any image of some class that the data hold.
    """

    headline: dict[str, FloatArray]
    per_class: dict[str, FloatArray]
    num_resamples_missing_a_class: int


def bootstrap_intervals(
    labels: npt.ArrayLike, predicted: npt.ArrayLike, groups: npt.ArrayLike, num_classes: int, params: EvaluateParams
) -> Intervals:
    """Compute intervals for accuracy, macro-F1, balanced accuracy and each class's precision, recall and F1.

    labels, predicted: `(N,)` int in [0, C). groups: `(N,)` names. The same arguments give the same intervals.
    An interval is given if at least two groups bear on it: any groups for the headline, groups with images of a class
    for its recall and F1, groups with images predicted as a class for its precision.
    """
    actual, guessed = np.asarray(labels, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    _, group_ids = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    cells = _cells_by_group(actual, guessed, group_ids, num_classes)
    resampled = _resample(cells, num_classes, params)
    tails = [(1 - params.confidence) / 2, (1 + params.confidence) / 2]
    labelled = _groups_per_class(group_ids, actual, num_classes)
    claimed = _groups_per_class(group_ids, guessed, num_classes)
    bearing = {"precision": claimed, "recall": labelled, "f1": labelled}
    enough = np.asarray([cells.shape[0] >= MIN_GROUPS])
    return Intervals(
        headline={n: _quantiles(getattr(resampled, n)[:, None], tails, enough)[:, 0] for n in HEADLINE},
        per_class={n: _quantiles(getattr(resampled, n), tails, bearing[n] >= MIN_GROUPS) for n in PER_CLASS},
        num_resamples_missing_a_class=int((resampled.support[:, labelled > 0] == 0).any(axis=1).sum()),
    )


def _groups_per_class(group_ids: npt.NDArray[np.intp], class_ids: IntArray, num_classes: int) -> IntArray:
    pairs = np.unique(group_ids * num_classes + class_ids)
    return np.bincount(pairs % num_classes, minlength=num_classes).astype(np.int64)


def _cells_by_group(
    actual: IntArray, guessed: IntArray, group_ids: npt.NDArray[np.intp], num_classes: int
) -> sparse.csr_array:
    """Return `(G, C * C)` counts: each group's confusion matrix, flat; sparse, for a group fills few cells."""
    ones = np.ones(len(actual), dtype=np.int64)
    shape = (int(group_ids.max()) + 1, num_classes**2)
    return sparse.coo_array((ones, (group_ids, actual * num_classes + guessed)), shape=shape).tocsr()


def _resample(cells: sparse.csr_array, num_classes: int, params: EvaluateParams) -> Metrics:
    """Return metrics of all resamples, leading dimension B, computed in batches of bounded memory."""
    num_groups = cells.shape[0]
    rng = np.random.default_rng(params.seed)
    batch = max(1, _BATCH_NUMBERS // max(num_groups, num_classes**2))
    parts = []
    for start in range(0, params.bootstrap_samples, batch):
        size = min(batch, params.bootstrap_samples - start)
        drawn = rng.integers(num_groups, size=(size, num_groups)) + np.arange(size)[:, None] * num_groups
        times = np.bincount(drawn.ravel(), minlength=size * num_groups).reshape(size, num_groups)
        confusions = np.asarray(cells.T @ times.T).T.reshape(size, num_classes, num_classes)
        parts.append(metrics_of_confusion(confusions))
    names = (*HEADLINE, *PER_CLASS, "support")
    return Metrics(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _quantiles(values: FloatArray, tails: list[float], wanted: npt.NDArray[np.bool_]) -> FloatArray:
    """Return `(2, K)` quantiles down the columns of `(B, K)` values, NaN in columns that are not wanted."""
    ends = np.full((2, values.shape[1]), np.nan)
    defined = wanted & ~np.isnan(values).all(axis=0)
    ends[:, defined] = np.nanquantile(values[:, defined], tails, axis=0)
    return ends
