"""Parts of the test images on which the model does worse than on the rest, with the chance of a lucky find bounded."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from fairlearn.metrics import MetricFrame
from scipy.stats import false_discovery_control, t

from evaluation.bootstrap import Resampling, Statistic, as_estimate, figure_of_sums, ratio
from evaluation.document import Count, Document, Estimate, Figure, Share, WrongPrediction
from evaluation.metrics import confusion_matrix, metrics_of_confusion
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions
from evaluation.slice_attributes import SliceAttribute
from evaluation.worst_errors import most_confident_errors

MAX_LISTED = 20
MAX_WRONG = 6  # pictures shown of one slice
CORRECTION = "Benjamini-Hochberg"
# Points of accuracy by which two conditions together must be weaker than one of them alone to be worth naming.
_CLEARLY = 0.05

BoolArray = npt.NDArray[np.bool_]


class Condition(Document):
    """One attribute with one value or range, such as `brightness` and `120 to 160`.

    `origin` says where the attribute comes from: the manifest, the mask or the pixels.
    """

    attribute: str
    value: str
    origin: str


class WeakSlice(Document):
    """The test images that meet one condition, or two together.

    `difference` is the slice's accuracy minus `rest_accuracy`, that of all other test images. `p_value` is one-sided:
    the chance of so low a difference if the slice were like the rest, from a cluster-robust t statistic over groups.
    `adjusted_p_value` accounts for all slices tested; `is_weak` compares it with the table's `alpha`. `wrong` holds
    the most confident errors in the slice.
    """

    conditions: tuple[Condition, ...]
    num_images: Count
    num_groups: Count
    accuracy: Estimate
    macro_f1: Share
    rest_accuracy: Share
    difference: Figure
    p_value: Share
    adjusted_p_value: Share
    is_weak: bool
    wrong: tuple[WrongPrediction, ...]


class SliceSearch(Document):
    """Slices by every attribute and by every pair of attributes, the smallest p-value first.

    Of `num_tested` slices with at least `min_images` images of `min_groups` groups, `num_weak` are weaker than the
    rest (`adjusted_p_value` <= `alpha`, by the named correction). Listed are the first ones; a weak slice of two
    conditions only if it is clearly weaker than each weak slice of one of them. `num_too_small` were not tested.
    `attributes` names what was sliced by.
    """

    attributes: tuple[str, ...]
    min_images: Count
    min_groups: Count
    num_tested: Count
    num_too_small: Count
    num_weak: Count
    alpha: Share
    correction: str
    slices: tuple[WeakSlice, ...]


@dataclass(frozen=True)
class _Candidate:
    conditions: tuple[Condition, ...]
    rows: npt.NDArray[np.intp]
    accuracy: float
    p_value: float


def search_slices(
    test: Predictions, attributes: list[SliceAttribute], resampling: Resampling, params: EvaluateParams
) -> SliceSearch:
    """Test every slice by one attribute and by two for being weaker than the rest; see `SliceSearch`."""
    tested, num_too_small = [], 0
    for parts in [*((a,) for a in attributes), *itertools.combinations(attributes, 2)]:
        for conditions, rows, accuracy in _cells(test, parts):
            if (
                rows.size < params.min_slice_images
                or resampling.num_bearing(_mask(test, rows)) < params.min_slice_groups
            ):
                num_too_small += 1
            elif rows.size < len(test.labels):
                p_value = _p_value(test, _mask(test, rows), resampling)
                tested.append(_Candidate(conditions, rows, accuracy, p_value))
    adjusted = false_discovery_control([c.p_value for c in tested]) if tested else np.zeros(0)
    order = sorted(range(len(tested)), key=lambda i: (tested[i].p_value, tested[i].accuracy, str(tested[i].conditions)))
    weak = {i for i in order if adjusted[i] <= params.max_false_discovery_rate}
    listed = _worth_naming(tested, order, weak)[:MAX_LISTED]
    return SliceSearch(
        attributes=tuple(attribute.name for attribute in attributes),
        min_images=params.min_slice_images,
        min_groups=params.min_slice_groups,
        num_tested=len(tested),
        num_too_small=num_too_small,
        num_weak=len(weak),
        alpha=params.max_false_discovery_rate,
        correction=CORRECTION,
        slices=_describe(
            test,
            [tested[i] for i in listed],
            [float(adjusted[i]) for i in listed],
            resampling,
            params.max_false_discovery_rate,
        ),
    )


def _cells(
    test: Predictions, attributes: tuple[SliceAttribute, ...]
) -> Iterator[tuple[tuple[Condition, ...], npt.NDArray[np.intp], float]]:
    """Yield conditions, rows and accuracy of every combination of values that occurs."""
    features = pd.DataFrame({attribute.name: attribute.values for attribute in attributes})
    known = np.flatnonzero((features != "").all(axis=1))
    if not known.size:
        return
    frame = MetricFrame(
        metrics={"accuracy": _share_equal},  # scikit-learn's accuracy takes ten times as long to check its input
        y_true=test.labels[known],
        y_pred=test.predicted[known],
        sensitive_features=features.iloc[known],
    )
    positions = features.iloc[known].groupby(list(features.columns), sort=True).indices
    for values, figures in frame.by_group.dropna().iterrows():
        texts = values if isinstance(values, tuple) else (values,)
        rows = known[positions[values if len(texts) > 1 else texts[0]]]
        conditions = tuple(
            Condition(attribute=a.name, value=str(text), origin=a.origin)
            for a, text in zip(attributes, texts, strict=True)
        )
        yield conditions, rows, float(figures["accuracy"])


def _share_equal(labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]) -> float:
    return float(np.mean(np.asarray(labels) == np.asarray(predicted)))


def _mask(test: Predictions, rows: npt.NDArray[np.intp]) -> BoolArray:
    mask = np.zeros(len(test.labels), dtype=bool)
    mask[rows] = True
    return mask


def _p_value(test: Predictions, inside: BoolArray, resampling: Resampling) -> float:
    """Return the chance of so low an accuracy inside, were it that of all images: a score test clustered by group.

    Deviations are taken from the accuracy of all images, so that a slice in which every image is wrong has a spread as
    well; degrees of freedom are those of the side with fewer groups.
    """
    right = (test.predicted == test.labels).astype(np.float64)
    weights = np.where(inside, 1 / inside.sum(), -1 / (~inside).sum())
    sums = np.bincount(resampling.group_ids, weights * (right - right.mean()))
    num_groups = len(sums)
    spread = float(np.sqrt(num_groups / (num_groups - 1) * (sums**2).sum()))
    if spread == 0:
        return 1.0
    freedom = min(resampling.num_bearing(inside), resampling.num_bearing(~inside)) - 1
    return float(t.cdf(float(weights @ right) / spread, max(freedom, 1)))


def _worth_naming(tested: list[_Candidate], order: list[int], weak: set[int]) -> list[int]:
    """Drop weak pairs of conditions that one of the conditions explains alone."""
    explains = {tested[i].conditions[0]: tested[i].accuracy for i in weak if len(tested[i].conditions) == 1}

    def adds(index: int) -> bool:
        candidate = tested[index]
        alone = [explains[c] for c in candidate.conditions if c in explains]
        return len(candidate.conditions) == 1 or not alone or candidate.accuracy <= min(alone) - _CLEARLY

    return [index for index in order if adds(index)]


def _describe(
    test: Predictions, candidates: list[_Candidate], adjusted: list[float], resampling: Resampling, alpha: float
) -> tuple[WeakSlice, ...]:
    """Put figures and pictures to the slices that are listed; `adjusted` are their p-values."""
    right = test.predicted == test.labels
    masks = [_mask(test, candidate.rows) for candidate in candidates]
    columns = [np.ones(len(right)), right, *(column for mask in masks for column in (mask, mask & right))]
    statistics: dict[str, Statistic] = {}
    for index in range(len(masks)):
        statistics |= {f"accuracy{index}": _accuracy(index), f"difference{index}": _difference(index)}
    bearing = {f"accuracy{index}": resampling.num_bearing(mask) for index, mask in enumerate(masks)}
    figures = figure_of_sums(resampling, np.column_stack(columns).astype(np.float64), statistics, bearing)
    described = []
    for index, (candidate, mask) in enumerate(zip(candidates, masks, strict=True)):
        part = test.take(candidate.rows)
        metrics = metrics_of_confusion(confusion_matrix(part.labels, part.predicted, len(test.classes)))
        described.append(
            WeakSlice(
                conditions=candidate.conditions,
                num_images=candidate.rows.size,
                num_groups=len(set(part.groups)),
                accuracy=as_estimate(figures[f"accuracy{index}"]),
                macro_f1=float(metrics.macro_f1),
                rest_accuracy=float(right[~mask].mean()),
                difference=figures[f"difference{index}"],
                p_value=candidate.p_value,
                adjusted_p_value=adjusted[index],
                is_weak=adjusted[index] <= alpha,
                wrong=most_confident_errors(part, MAX_WRONG),
            )
        )
    return tuple(described)


def _accuracy(index: int) -> Statistic:
    return lambda sums: ratio(sums[..., 3 + 2 * index], sums[..., 2 + 2 * index])


def _difference(index: int) -> Statistic:
    """Return the accuracy inside minus that of all others; sums 0 and 1 are of all images."""
    inside, right = 2 + 2 * index, 3 + 2 * index
    return lambda s: ratio(s[..., right], s[..., inside]) - ratio(s[..., 1] - s[..., right], s[..., 0] - s[..., inside])
