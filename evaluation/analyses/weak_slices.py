"""Parts of the test images on which the model does worse than on the rest, with the chance of a lucky find bounded."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from evaluation.analyses.slice_attributes import SliceAttribute
from evaluation.analyses.worst_errors import most_confident_errors
from evaluation.document import Count, Document, Estimate, Figure, Share, SinceEstimated, WrongPrediction
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import (
    Resampling,
    Statistic,
    as_estimate,
    as_figure,
    counts_by_group,
    figure_of_sums,
    metrics_of_resamples,
    ratio,
)
from evaluation.statistics.clustered_statistics import intraclass_correlation, p_value_of_being_worse
from evaluation.statistics.metrics import metrics_of_counts

MAX_LISTED = 20
MAX_WRONG = 6  # pictures shown of one slice
CORRECTION = "Benjamini-Hochberg, over slices of one condition and of two apart"
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
    the chance of so low an accuracy if the slice were like the rest, by a test that counts groups
    (`clustered_statistics`). `adjusted_p_value` accounts for all slices tested; `is_weak` compares it with the table's
    `alpha`. `wrong` holds the most confident errors in the slice.
    """

    conditions: tuple[Condition, ...]
    num_images: Count
    num_groups: Count
    accuracy: Estimate
    macro_f1: SinceEstimated
    rest_accuracy: SinceEstimated
    difference: Figure
    p_value: Share
    adjusted_p_value: Share
    is_weak: bool
    wrong: tuple[WrongPrediction, ...]


class SliceSearch(Document):
    """Slices by every attribute and by every pair of attributes.

    Weak ones come first, those of one condition before those of two, then by p-value, the smallest first.

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
    right = test.predicted == test.labels
    correlation = intraclass_correlation(right, resampling.group_ids)
    for parts in [*((a,) for a in attributes), *itertools.combinations(attributes, 2)]:
        for conditions, rows, accuracy in _cells(right, parts):
            inside = _mask(test, rows)
            if rows.size < params.min_slice_images or resampling.num_bearing(inside) < params.min_slice_groups:
                num_too_small += 1
            elif rows.size < len(test.labels):
                p_value = p_value_of_being_worse(right, inside, resampling.group_ids, correlation)
                tested.append(_Candidate(conditions, rows, accuracy, p_value))
    tested.sort(key=lambda candidate: (candidate.p_value, candidate.accuracy, str(candidate.conditions)))
    adjusted = _adjust(tested)
    weak = {i for i in range(len(tested)) if adjusted[i] <= params.max_false_discovery_rate}
    order = sorted(range(len(tested)), key=lambda i: (i not in weak, i in weak and len(tested[i].conditions), i))
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
    right: BoolArray, attributes: tuple[SliceAttribute, ...]
) -> Iterator[tuple[tuple[Condition, ...], npt.NDArray[np.intp], float]]:
    """Yield conditions, rows and accuracy of every combination of values that occurs."""
    # Columns by position: a name is a person's text and may be anything.
    features = pd.DataFrame({f"condition{index}": attribute.values for index, attribute in enumerate(attributes)})
    known = np.flatnonzero((features != "").all(axis=1))
    if not known.size:
        return
    for values, positions in features.iloc[known].groupby(list(features.columns), sort=True).indices.items():
        texts = values if isinstance(values, tuple) else (values,)
        rows = known[positions]
        conditions = tuple(
            Condition(attribute=a.name, value=str(text), origin=a.origin)
            for a, text in zip(attributes, texts, strict=True)
        )
        yield conditions, rows, float(right[rows].mean())


def _mask(test: Predictions, rows: npt.NDArray[np.intp]) -> BoolArray:
    mask = np.zeros(len(test.labels), dtype=bool)
    mask[rows] = True
    return mask


def _adjust(tested: list[_Candidate]) -> npt.NDArray[np.float64]:
    """Correct p-values within each family: the many pairs of conditions must not drown single ones."""
    from scipy.stats import false_discovery_control  # takes half a second: whoever only reads figures needs none of it

    p_values = np.array([candidate.p_value for candidate in tested])
    num_conditions = np.array([len(candidate.conditions) for candidate in tested])
    for family in np.unique(num_conditions):
        rows = num_conditions == family
        p_values[rows] = false_discovery_control(p_values[rows])
    return p_values


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
        statistics |= {
            f"accuracy{index}": _accuracy(index),
            f"rest{index}": _rest_accuracy(index),
            f"difference{index}": _difference(index),
        }
    bearing = {f"accuracy{index}": resampling.num_bearing(mask) for index, mask in enumerate(masks)}
    bearing |= {f"rest{index}": resampling.num_bearing(~mask) for index, mask in enumerate(masks)}
    figures = figure_of_sums(resampling, np.column_stack(columns).astype(np.float64), statistics, bearing)
    macro_f1s = _macro_f1s(test, masks, resampling)
    described = []
    for index, candidate in enumerate(candidates):
        part = test.take(candidate.rows)
        described.append(
            WeakSlice(
                conditions=candidate.conditions,
                num_images=candidate.rows.size,
                num_groups=len(set(part.groups)),
                accuracy=as_estimate(figures[f"accuracy{index}"]),
                macro_f1=macro_f1s[index],
                rest_accuracy=as_estimate(figures[f"rest{index}"]),
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


def _rest_accuracy(index: int) -> Statistic:
    """Return the accuracy of all other images; sums 0 and 1 are of all images."""
    inside, right = 2 + 2 * index, 3 + 2 * index
    return lambda sums: ratio(sums[..., 1] - sums[..., right], sums[..., 0] - sums[..., inside])


def _difference(index: int) -> Statistic:
    """Return the accuracy inside minus that of all others."""
    accuracy, rest = _accuracy(index), _rest_accuracy(index)
    return lambda sums: accuracy(sums) - rest(sums)


def _counts_inside(test: Predictions, mask: BoolArray, resampling: Resampling) -> sparse.csr_array:
    """Return `counts_by_group` of the images inside the mask, a row for every group of the test images."""
    counts = counts_by_group(
        test.labels[mask], test.predicted[mask], resampling.group_ids[mask], len(test.classes)
    ).tocoo()
    return sparse.csr_array((counts.data, counts.coords), shape=(resampling.num_groups, counts.shape[1]))


def _macro_f1s(test: Predictions, masks: list[BoolArray], resampling: Resampling) -> list[Estimate]:
    """Return the macro-F1 inside each mask, from the resamples that the other figures of a slice are from."""
    if not masks:
        return []
    by_group = sparse.hstack([_counts_inside(test, mask, resampling) for mask in masks], format="csr")
    shape = (len(masks), 3, len(test.classes))
    whole = np.asarray(by_group.sum(axis=0)).reshape(shape)
    is_held = whole[:, 1] > 0

    def measure(sums: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float64]]:
        counts = sums.reshape(-1, *shape)
        is_there = counts.any(axis=(-2, -1))  # a resample may lack a slice: no figure of it there
        macro_f1 = np.full(is_there.shape, np.nan)
        held = np.broadcast_to(is_held, (len(counts), *is_held.shape))[is_there]
        macro_f1[is_there] = metrics_of_resamples(counts[is_there], held).macro_f1
        return {"macro_f1": macro_f1}

    resampled = resampling.resample(by_group, measure)["macro_f1"]
    ends = resampling.ends(resampled, [resampling.num_bearing(mask) for mask in masks])
    return [
        as_estimate(as_figure(value, ends[:, i]))
        for i, value in enumerate(metrics_of_counts(*np.moveaxis(whole, 1, 0)).macro_f1)
    ]
