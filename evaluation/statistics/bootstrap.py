"""Confidence intervals that respect groups: percentile bootstrap over physical objects, not over images.

Pictures of one object are right or wrong together, so a test set holds fewer independent facts than images. A resample
draws as many groups as there are, with replacement, and takes all images of each (cluster bootstrap: Davison and
Hinkley 1997, Bootstrap Methods and their Application, section 3.8; percentile interval: Efron and Tibshirani 1993,
chapter 13). A class of the data may be missing from a resample: its recall and its F1 are undefined there, even if it
is predicted, so that they skip that resample and the resample's averages run over the other classes. Counting its F1 as
0, as `evaluation.statistics.metrics` does for a class that the data do not hold at all, would blame the model for the
draw.

Not covered: groups that do not stand for the population, and the chance in training (one model is evaluated).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from evaluation.document import Estimate, Figure
from evaluation.params import EvaluateParams
from evaluation.statistics.metrics import HEADLINE, PER_CLASS, Metrics, metrics_of_counts

# One group alone is drawn in every resample and would show an interval of no width: certainty where there is none.
MIN_GROUPS = 2
# Numbers held at once by one batch of resamples: 32 MB as int64.
_BATCH_NUMBERS = 4_000_000
_OVERALL = (*HEADLINE, "mcc")

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]
Measure = Callable[[npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]


@dataclass(frozen=True)
class Resampling:
    """Resamples of the groups of N images; the same groups and params always draw the same.

    groups: `(N,)` names.
    """

    groups: npt.NDArray[np.object_]
    params: EvaluateParams

    @cached_property
    def group_ids(self) -> npt.NDArray[np.intp]:
        """`(N,)` position of each image's group among the sorted names."""
        ids: npt.NDArray[np.intp] = np.unique(self.groups.astype(str), return_inverse=True)[1]
        return ids

    @property
    def num_groups(self) -> int:
        return int(self.group_ids.max()) + 1

    @property
    def tails(self) -> list[float]:
        """The two quantiles at which an interval ends."""
        return [(1 - self.params.confidence) / 2, (1 + self.params.confidence) / 2]

    def draws(self, numbers_each: int = 0) -> Iterator[IntArray]:
        """Yield `(b, G)` how often each group is in each of the next b resamples, in batches of bounded memory.

        numbers_each: how many numbers the caller holds for one resample, if more than there are groups.
        """
        rng = np.random.default_rng(self.params.seed)
        num_groups = self.num_groups
        batch = max(1, _BATCH_NUMBERS // max(num_groups, numbers_each))
        for start in range(0, self.params.bootstrap_samples, batch):
            size = min(batch, self.params.bootstrap_samples - start)
            drawn = rng.integers(num_groups, size=(size, num_groups)) + np.arange(size)[:, None] * num_groups
            yield np.bincount(drawn.ravel(), minlength=size * num_groups).reshape(size, num_groups)

    def resample(self, by_group: FloatArray | sparse.csr_array, measure: Measure) -> dict[str, npt.NDArray[Any]]:
        """Return what `measure` makes of the sums over each resample's images, `(B, ...)` for each name.

        by_group: `(G, K)` sums over the images of each group. measure: `(b, K)` sums -> `(b, ...)` figures by name;
        it is called for batches of bounded memory.
        """
        parts = []
        for times in self.draws(by_group.shape[1]):
            columns = np.ascontiguousarray(times.T, dtype=by_group.dtype)
            parts.append(measure(np.asarray(by_group.T @ columns).T))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def num_bearing(self, rows: npt.NDArray[np.bool_]) -> int:
        """Count the groups with an image among `rows`, `(N,)`."""
        return int(np.count_nonzero(np.bincount(self.group_ids[rows])))

    def ends(self, values: FloatArray, num_bearing: npt.ArrayLike) -> FloatArray:
        """Return `(2, ...)` ends of the intervals of `(B, ...)` values.

        num_bearing: `()` or `(...)` groups that bear on each figure; NaN where they are fewer than two, or where the
        figure is undefined in all resamples.
        """
        flat = values.reshape(len(values), -1)
        enough = np.broadcast_to(np.asarray(num_bearing) >= MIN_GROUPS, values.shape[1:]).ravel()
        defined = enough & ~np.isnan(flat).all(axis=0)
        ends = np.full((2, flat.shape[1]), np.nan)
        ends[:, defined] = np.nanquantile(flat[:, defined], self.tails, axis=0)
        return ends.reshape(2, *values.shape[1:])


def as_figure(value: FloatArray | float, ends: FloatArray) -> Figure:
    """Join a figure with the `(2,)` ends of its interval; NaN becomes null."""
    if np.isnan(value):
        return Figure(value=None)
    low, high = (None if np.isnan(end) else float(end) for end in ends)
    return Figure(value=float(value), low=low, high=high)


def figure_of_sums(
    resampling: Resampling, columns: FloatArray, statistics: dict[str, Statistic], bearing: dict[str, int] | None = None
) -> dict[str, Figure]:
    """Compute figures that follow from sums over images, with their intervals.

    columns: `(N, K)`. statistics: name -> function of `(..., K)` sums that returns `(...)`, NaN where undefined.
    bearing: name -> number of groups that bear on a figure, if not all.
    """
    members = sparse.coo_array((np.ones(len(columns)), (resampling.group_ids, np.arange(len(columns))))).tocsr()
    resampled = resampling.resample(members @ columns, lambda sums: {n: of(sums) for n, of in statistics.items()})
    sums = columns.sum(axis=0)
    bearing = bearing or {}
    return {
        name: as_figure(of(sums), resampling.ends(resampled[name], bearing.get(name, resampling.num_groups)))
        for name, of in statistics.items()
    }


def ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Divide; NaN where `whole` is 0."""
    result = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) > 0)
    return result


def mean_where_defined(values: FloatArray) -> FloatArray:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def as_estimate(figure: Figure) -> Estimate:
    """Return a figure that is a share; what rounding put outside [0, 1] is brought back."""
    values = (figure.value, figure.low, figure.high)
    value, low, high = (None if v is None else min(max(v, 0.0), 1.0) for v in values)
    return Estimate(value=value, low=low, high=high)


@dataclass(frozen=True)
class Intervals:
    """Ends of the intervals; NaN where there are too few groups for one.

    headline: `(2,)` low and high by metric name, MCC's among them. per_class: `(2, C)` by figure name.
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
    resampling = Resampling(np.asarray(groups).astype(object), params)
    group_ids = resampling.group_ids
    counts = counts_by_group(actual, guessed, group_ids, num_classes)
    labelled = _groups_per_class(group_ids, actual, num_classes)
    resampled = resampling.resample(counts, lambda sums: vars(metrics_of_resamples(as_counts(sums), labelled > 0)))
    claimed = _groups_per_class(group_ids, guessed, num_classes)
    bearing = {"precision": claimed, "recall": labelled, "f1": labelled}
    return Intervals(
        headline={name: resampling.ends(resampled[name], resampling.num_groups) for name in _OVERALL},
        per_class={name: resampling.ends(resampled[name], bearing[name]) for name in PER_CLASS},
        num_resamples_missing_a_class=int((resampled["support"][:, labelled > 0] == 0).any(axis=1).sum()),
    )


def metrics_of_resamples(counts: IntArray, is_held: npt.NDArray[np.bool_]) -> Metrics:
    """Compute all figures of resamples; see the module for a class that is missing from one.

    counts: `(b, 3, C)` of `counts_by_group`. is_held: `(C,)` or `(b, C)` whether the data hold images of the class. A
    class that they do not hold is treated as `evaluation.statistics.metrics` does: F1 = 0 where it is predicted.
    """
    whole = metrics_of_counts(*np.moveaxis(counts, -2, 0))
    f1 = np.where(is_held & (whole.support == 0), np.nan, whole.f1)
    return replace(whole, f1=f1, macro_f1=np.asarray(np.nanmean(f1, axis=-1)))


def _groups_per_class(group_ids: npt.NDArray[np.intp], class_ids: IntArray, num_classes: int) -> IntArray:
    pairs = np.unique(group_ids * num_classes + class_ids)
    return np.bincount(pairs % num_classes, minlength=num_classes).astype(np.int64)


def counts_by_group(
    actual: IntArray, guessed: IntArray, group_ids: npt.NDArray[np.intp], num_classes: int
) -> sparse.csr_array:
    """Return `(G, 3 * C)` counts of each group's images: those of a class called so, those of it, those called so.

    Sparse, for a group has few classes. All figures follow from them, and a thousand classes have a million cells.
    """
    right = actual == guessed
    columns = np.concatenate([actual[right], num_classes + actual, 2 * num_classes + guessed])
    rows = np.concatenate([group_ids[right], group_ids, group_ids])
    shape = (int(group_ids.max()) + 1, 3 * num_classes)
    return sparse.coo_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=shape).tocsr()


def as_counts(sums: IntArray) -> IntArray:
    """Return `(b, 3, C)` of `(b, 3 * C)` sums of `counts_by_group`."""
    return sums.reshape(len(sums), 3, -1)
