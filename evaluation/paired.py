"""Compare two models on the same pictures: what differs, how sure that is, and which pictures changed.

Intervals come from a paired bootstrap over groups: both models are measured on the same resampled groups, so that what
is hard for both cancels out.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

from dataset.checks import named
from evaluation.comparison import MAX_CHANGED, Change, ClassDifference, Comparison, Difference, SignTest
from evaluation.metrics import HEADLINE, Metrics, confusion_matrix, metrics_of_confusion
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions, PredictionsError

MIN_GROUPS = 2  # one group alone would show an interval of no width
_BATCH_NUMBERS = 4_000_000  # weights held at once: 32 MB as int64

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
    resampled = _paired_resamples(first, second, params)
    num_groups = len(set(first.groups))
    right = [p.predicted == p.labels for p in (first, second)]
    fixed, broken = ~right[0] & right[1], right[0] & ~right[1]
    hashes = sha256 or {}
    return Comparison(
        first=names[0],
        second=names[1],
        split=", ".join(sorted(set(first.splits))),
        classes=first.classes,
        num_images=len(first.labels),
        num_groups=num_groups,
        **_headline(whole, resampled, num_groups, params.confidence),
        per_class=_per_class(first, whole, resampled, params.confidence),
        mcnemar=_sign_test(int(broken.sum()), int(fixed.sum())),
        by_group=_groups_in_favour(first.groups, fixed, broken),
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


def _paired_resamples(first: Predictions, second: Predictions, params: EvaluateParams) -> tuple[Metrics, Metrics]:
    """Return both models' metrics, leading dimension B; resample b holds the same groups for both."""
    num_classes = len(first.classes)
    _, group_ids = np.unique(first.groups.astype(str), return_inverse=True)
    num_groups = int(group_ids.max()) + 1
    ones = np.ones(len(group_ids), dtype=np.int64)
    cells = [
        sparse.coo_array(
            (ones, (group_ids, p.labels * num_classes + p.predicted)), shape=(num_groups, num_classes**2)
        ).tocsr()
        for p in (first, second)
    ]
    rng = np.random.default_rng(params.seed)
    batch = max(1, _BATCH_NUMBERS // max(num_groups, num_classes**2))
    parts: tuple[list[IntArray], list[IntArray]] = ([], [])
    for start in range(0, params.bootstrap_samples, batch):
        size = min(batch, params.bootstrap_samples - start)
        times = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=size)
        for part, cell in zip(parts, cells, strict=True):
            part.append(np.asarray(cell.T @ times.T).T.reshape(size, num_classes, num_classes))
    return metrics_of_confusion(np.concatenate(parts[0])), metrics_of_confusion(np.concatenate(parts[1]))


def _difference(
    whole: Sequence[FloatArray], resampled: Sequence[FloatArray], num_groups: int, confidence: float
) -> Difference:
    """whole: both models' figure, `()`; resampled: the same of all resamples, `(B,)`; NaN where undefined."""
    first, second = (None if np.isnan(value) else float(value) for value in whole)
    if first is None or second is None:
        return Difference(first=first, second=second, difference=None)
    gains = resampled[1] - resampled[0]
    gains = gains[~np.isnan(gains)]
    if num_groups < MIN_GROUPS or not gains.size:
        return Difference(first=first, second=second, difference=second - first)
    low, high = np.quantile(gains, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(first=first, second=second, difference=second - first, low=float(low), high=float(high))


def _headline(
    whole: Sequence[Metrics], resampled: Sequence[Metrics], num_groups: int, confidence: float
) -> dict[str, Difference]:
    figures = {name: [[getattr(m, name) for m in metrics] for metrics in (whole, resampled)] for name in HEADLINE}
    return {name: _difference(both[0], both[1], num_groups, confidence) for name, both in figures.items()}


def _per_class(
    first: Predictions, whole: Sequence[Metrics], resampled: Sequence[Metrics], confidence: float
) -> tuple[ClassDifference, ...]:
    found = []
    for index, name in enumerate(first.classes):
        num_groups = len(set(first.groups[first.labels == index]))
        both = [[m.recall[..., index] for m in metrics] for metrics in (whole, resampled)]
        found.append(
            ClassDifference(
                name=name,
                num_images=int(whole[0].support[index]),
                num_groups=num_groups,
                recall=_difference(both[0], both[1], num_groups, confidence),
            )
        )
    return tuple(found)


def _sign_test(num_first: int, num_second: int) -> SignTest:
    total = num_first + num_second
    p_value = min(1.0, float(stats.binomtest(num_first, total).pvalue)) if total else 1.0
    return SignTest(num_first=num_first, num_second=num_second, p_value=p_value)


def _groups_in_favour(groups: npt.NDArray[np.object_], fixed: BoolArray, broken: BoolArray) -> SignTest:
    _, ids = np.unique(groups.astype(str), return_inverse=True)
    gains = np.bincount(ids, weights=fixed.astype(np.int64) - broken.astype(np.int64))
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
