"""Compare two models on the same pictures: what differs, how sure that is, and which pictures changed.

Intervals come from a paired bootstrap over groups: both models are measured on the same resampled groups, so that what
is hard for both cancels out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dataset.checks import named
from evaluation.comparison import MAX_CHANGED, Change, ClassDifference, Comparison, Difference, SignTest
from evaluation.document import Figure
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions, PredictionsError
from evaluation.statistics.bootstrap import Resampling, as_counts, as_figure, counts_by_group, metrics_of_resamples
from evaluation.statistics.metrics import HEADLINE, Metrics, confusion_matrix, metrics_of_confusion

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def compare_predictions(
    first: Predictions,
    second: Predictions,
    names: tuple[str, str],
    params: EvaluateParams,
    sha256: dict[str, str] | None = None,
    notes: tuple[str, ...] = (),
) -> Comparison:
    """Compare two models' predictions of the same pictures; all rows count, so select a split beforehand.

    sha256: picture's path -> hash of its file, empty where unknown. Raises PredictionsError if the two are not of the
    same pictures, labels, groups and classes.
    """
    second = _aligned(first, second, names)
    num_classes = len(first.classes)
    confusions = [confusion_matrix(p.labels, p.predicted, num_classes) for p in (first, second)]
    whole = [metrics_of_confusion(confusion) for confusion in confusions]
    resampling = Resampling(first.groups, params)
    resampled = _paired_resamples(first, second, resampling)
    right = [p.predicted == p.labels for p in (first, second)]
    fixed, broken = ~right[0] & right[1], right[0] & ~right[1]
    hashes = sha256 or {}
    return Comparison(
        first=names[0],
        second=names[1],
        split=", ".join(sorted(set(first.splits))),
        classes=first.classes,
        num_images=len(first.labels),
        num_groups=resampling.num_groups,
        **_headline(whole, resampled, resampling),
        per_class=_per_class(first, whole, resampled, resampling),
        mcnemar=_sign_test(int(broken.sum()), int(fixed.sum())),
        by_group=_groups_in_favour(resampling.group_ids, fixed, broken),
        num_fixed=int(fixed.sum()),
        num_broken=int(broken.sum()),
        num_wrong_otherwise=int((~right[0] & ~right[1] & (first.predicted != second.predicted)).sum()),
        fixed=_changes(first, second, fixed, hashes),
        broken=_changes(first, second, broken, hashes),
        confidence=params.confidence,
        bootstrap_samples=params.bootstrap_samples,
        seed=params.seed,
        notes=notes,
    )


def _aligned(first: Predictions, second: Predictions, names: tuple[str, str]) -> Predictions:
    """Return `second` with its rows and classes in the order of `first`."""
    if set(first.classes) != set(second.classes):
        raise PredictionsError(
            f"{names[0]} knows the classes {', '.join(first.classes)}, {names[1]} {', '.join(second.classes)}: models "
            "of other classes cannot be compared"
        )
    position = {path: row for row, path in enumerate(second.paths)}
    only_first = [path for path in first.paths if path not in position]
    only_second = sorted(set(second.paths) - set(first.paths))
    for one, other, paths in ((*names, only_first), (*names[::-1], only_second)):
        if paths:
            raise PredictionsError(
                f"{one} and {other} are not of the same pictures: {len(paths)} row(s) are only in {one}, such as "
                f"{named(paths)}. Predict the same split of one manifest with both"
            )
    second = second.take(np.asarray([position[path] for path in first.paths], dtype=np.intp))
    columns = [second.classes.index(name) for name in first.classes]
    labels = np.asarray([columns.index(label) for label in range(len(columns))], dtype=np.int64)[second.labels]
    for what, differ in (("label", labels != first.labels), ("group", second.groups != first.groups)):
        if differ.any():
            raise PredictionsError(
                f"{names[0]} and {names[1]} state different {what}s for {named(list(first.paths[differ]))}. "
                "Predict the same manifest with both"
            )
    return Predictions(
        second.paths, labels, second.groups, second.splits, second.probs[:, columns], first.classes, second.attributes
    )


def _paired_resamples(first: Predictions, second: Predictions, resampling: Resampling) -> list[Metrics]:
    """Return both models' metrics, leading dimension B; resample b holds the same groups for both."""
    is_held = np.bincount(first.labels, minlength=len(first.classes)) > 0
    counts = [counts_by_group(p.labels, p.predicted, resampling.group_ids, len(p.classes)) for p in (first, second)]

    def measure(sums: IntArray) -> dict[str, npt.NDArray[Any]]:
        both = [vars(metrics_of_resamples(as_counts(half), is_held)) for half in np.split(sums, 2, axis=1)]
        return {name: np.stack([figures[name] for figures in both], axis=1) for name in both[0]}

    resampled = resampling.resample(sparse.hstack(counts, format="csr"), measure)
    return [Metrics(**{name: values[:, model] for name, values in resampled.items()}) for model in (0, 1)]


def difference_of(
    whole: Sequence[FloatArray], resampled: Sequence[FloatArray], resampling: Resampling, num_bearing: int
) -> Difference:
    """Return how much more the second model reaches.

    whole: both models' figure, `()`; resampled: the same of all resamples, `(B,)`; NaN where undefined.
    """
    gain = as_figure(whole[1] - whole[0], resampling.ends(resampled[1] - resampled[0], num_bearing))
    return with_gain(whole[0], whole[1], gain)


def with_gain(first: FloatArray, second: FloatArray, gain: Figure) -> Difference:
    """Put both models' figure, `()`, NaN where undefined, beside how much more the second one's is."""
    both = [None if np.isnan(value) else float(value) for value in (first, second)]
    return Difference(first=both[0], second=both[1], difference=gain.value, low=gain.low, high=gain.high)


def _headline(whole: Sequence[Metrics], resampled: Sequence[Metrics], resampling: Resampling) -> dict[str, Difference]:
    figures = {name: [[getattr(m, name) for m in metrics] for metrics in (whole, resampled)] for name in HEADLINE}
    return {name: difference_of(both[0], both[1], resampling, resampling.num_groups) for name, both in figures.items()}


def _per_class(
    first: Predictions, whole: Sequence[Metrics], resampled: Sequence[Metrics], resampling: Resampling
) -> tuple[ClassDifference, ...]:
    found = []
    for index, name in enumerate(first.classes):
        both = [[m.recall[..., index] for m in metrics] for metrics in (whole, resampled)]
        bearing = resampling.num_bearing(first.labels == index)
        found.append(
            ClassDifference(
                name=name,
                num_images=int(whole[0].support[index]),
                num_groups=bearing,
                recall=difference_of(both[0], both[1], resampling, bearing),
            )
        )
    return tuple(found)


def _sign_test(num_first: int, num_second: int) -> SignTest:
    from scipy.stats import binomtest  # takes half a second: whoever only reads figures needs none of it

    total = num_first + num_second
    p_value = min(1.0, float(binomtest(num_first, total).pvalue)) if total else 1.0
    return SignTest(num_first=num_first, num_second=num_second, p_value=p_value)


def _groups_in_favour(group_ids: npt.NDArray[np.intp], fixed: BoolArray, broken: BoolArray) -> SignTest:
    gains = np.bincount(group_ids, weights=fixed.astype(np.int64) - broken.astype(np.int64))
    return _sign_test(int((gains < 0).sum()), int((gains > 0).sum()))


def _changes(first: Predictions, second: Predictions, chosen: BoolArray, sha256: dict[str, str]) -> tuple[Change, ...]:
    rows, guesses = np.flatnonzero(chosen), (first.predicted, second.predicted)
    before, after = (np.clip(p.probs[rows, first.labels[rows]], 0, 1) for p in (first, second))
    order = np.lexsort((first.paths[rows].astype(str), -np.abs(after - before)))[:MAX_CHANGED]
    return tuple(
        Change(
            path=first.paths[row],
            sha256=sha256.get(first.paths[row], ""),
            group=first.groups[row],
            label=first.classes[first.labels[row]],
            first_predicted=first.classes[guesses[0][row]],
            second_predicted=first.classes[guesses[1][row]],
            first_probability=float(before[place]),
            second_probability=float(after[place]),
        )
        for place, row in zip(order, rows[order], strict=True)
    )
