"""Figures of a score that ranks pictures: average precision and area under the ROC curve, with intervals over groups.

Pictures of equal score are one step of the curve, as in scikit-learn, to which values are held by test.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from evaluation.document import Estimate
from evaluation.statistics.bootstrap import FloatArray, Resampling, as_estimate, as_figure, ratio


@dataclass(frozen=True)
class RankingFigures:
    """Average precision and area under the ROC curve; undefined without images of both kinds."""

    average_precision: Estimate
    roc_auc: Estimate


def ranking_figures(scores: FloatArray, is_positive: npt.NDArray[np.bool_], resampling: Resampling) -> RankingFigures:
    """Measure how well `scores` put positive images first.

    scores, is_positive: `(N,)`. An interval is given if at least two groups have positive images.
    """
    if is_positive.all() or not is_positive.any():
        return RankingFigures(Estimate(value=None), Estimate(value=None))
    steps = _Steps.of(scores, is_positive, resampling)
    whole = steps.areas(np.ones((1, resampling.num_groups)))
    resampled = [steps.areas(times) for times in resampling.draws(steps.numbers_each)]
    bearing = resampling.num_bearing(is_positive)
    values = [np.concatenate(parts) for parts in zip(*resampled, strict=True)]
    return RankingFigures(
        *(
            as_estimate(as_figure(value, resampling.ends(several, bearing)))
            for (value,), several in zip(whole, values, strict=True)
        )
    )


@dataclass(frozen=True)
class _Steps:
    """Images of each group along the K distinct scores that positive images have, best score first.

    Both areas change at these scores only, so that a resample costs K numbers and not N. positive: `(K, G)` at the
    score. passed: `(K, G)` negative ones from there up to the next better of the K scores, `tied` those of exactly the
    score. negative: `(G,)` all negative ones.
    """

    positive: sparse.csr_array
    passed: sparse.csr_array
    tied: sparse.csr_array
    negative: FloatArray

    @classmethod
    def of(cls, scores: FloatArray, is_positive: npt.NDArray[np.bool_], resampling: Resampling) -> Self:
        ids, num_groups = resampling.group_ids, resampling.num_groups
        rising, at_positive = np.unique(scores[is_positive], return_inverse=True)
        last = len(rising) - 1
        # The best of the K scores that is no better than the image's own; -1: all positive images are better.
        reached = np.searchsorted(rising, scores, side="right") - 1
        is_passed = ~is_positive & (reached >= 0)
        is_tied = is_passed & (rising[reached] == scores)

        def count(places: npt.NDArray[np.intp], rows: npt.NDArray[np.bool_]) -> sparse.csr_array:
            ones = np.ones(len(places))
            return sparse.coo_array((ones, (last - places, ids[rows])), shape=(last + 1, num_groups)).tocsr()

        return cls(
            count(at_positive, is_positive),
            count(reached[is_passed], is_passed),
            count(reached[is_tied], is_tied),
            np.bincount(ids[~is_positive], minlength=num_groups).astype(np.float64),
        )

    @property
    def numbers_each(self) -> int:
        """How many numbers `areas` holds for one resample."""
        return 6 * int(self.positive.shape[0])

    def areas(self, times: npt.NDArray[np.number]) -> tuple[FloatArray, FloatArray]:
        """Return `(b,)` average precision and `(b,)` area under the ROC curve; NaN without images of both kinds.

        times: `(b, G)` how often each group counts.
        """
        columns = np.ascontiguousarray(times.T, dtype=np.float64)
        gained, above, num_negative = self.positive @ columns, self.passed @ columns, self.negative @ columns
        np.cumsum(above, axis=0, out=above)
        found = np.cumsum(gained, axis=0)
        num_positive = found[-1].copy()
        area = (gained * (num_negative - above)).sum(axis=0) + (gained * (self.tied @ columns)).sum(axis=0) / 2
        above += found
        found *= gained
        np.divide(found, above, out=found, where=above > 0)
        return ratio(found.sum(axis=0), num_positive), ratio(area, num_positive * num_negative)
