"""Figures of merit of a classifier, all computed from confusion matrices.

Conventions, held to scikit-learn's by test. A figure that divides by zero is undefined and is NaN: the precision of a
class that was never predicted, the recall of a class without images, the F1 of a class with neither. Averages run over
the classes for which the figure is defined: macro-F1 over classes that occur among labels or predictions (a class that
is predicted but never there counts as 0), balanced accuracy over classes that occur among labels. Matthews'
correlation coefficient (Gorodkin 2004) is undefined if all labels or all predictions are of one class.

Confusion matrices of disjoint sets of images add up to that of their union, so metrics over several processes are
exact if the processes sum their matrices first.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HEADLINE = ("accuracy", "macro_f1", "balanced_accuracy")
PER_CLASS = ("precision", "recall", "f1")

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Metrics:
    """Figures of one confusion matrix or, with leading dimensions `...`, of many.

    accuracy, macro_f1, balanced_accuracy: `(...)` in [0, 1]. mcc: `(...)` in [-1, 1]. precision, recall, f1:
    `(..., C)` in [0, 1], NaN where undefined. support: `(..., C)` int, images of each class.
    """

    accuracy: FloatArray
    macro_f1: FloatArray
    balanced_accuracy: FloatArray
    mcc: FloatArray
    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    support: IntArray

    def headline(self) -> dict[str, float]:
        """Return accuracy, macro-F1 and balanced accuracy of a single matrix as plain numbers."""
        return {name: float(getattr(self, name)) for name in HEADLINE}


def confusion_matrix(labels: npt.ArrayLike, predicted: npt.ArrayLike, num_classes: int) -> IntArray:
    """Count images by class: `(C, C)` int64, rows are actual and columns predicted classes.

    labels, predicted: `(N,)` int in [0, C). Raises ValueError if lengths differ or an index is outside.
    """
    actual, guessed = np.asarray(labels), np.asarray(predicted)
    if actual.ndim != 1 or actual.shape != guessed.shape:
        raise ValueError(f"expected labels and predictions of one length, got {actual.shape} and {guessed.shape}")
    both = np.concatenate([actual, guessed])
    if both.size and not (np.issubdtype(both.dtype, np.integer) and both.min() >= 0 and both.max() < num_classes):
        raise ValueError(f"expected integer class indices in [0, {num_classes}), got {both.dtype} {np.unique(both)}")
    cells = actual.astype(np.int64) * num_classes + guessed.astype(np.int64)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


def metrics_of_confusion(confusion: npt.NDArray[np.int64]) -> Metrics:
    """Compute all figures; see the module for what is undefined and what averages run over.

    confusion: `(..., C, C)` int, rows actual. Raises ValueError if a matrix holds no image.
    """
    correct = np.diagonal(confusion, axis1=-2, axis2=-1)
    return metrics_of_counts(correct, confusion.sum(axis=-1), confusion.sum(axis=-2))


def metrics_of_counts(correct: IntArray, support: IntArray, claimed: IntArray) -> Metrics:
    """Compute all figures from three counts of each class, which is all of a confusion matrix that they need.

    correct, support, claimed: `(..., C)` int, images of a class that are called so, images of it, and images called so.
    Raises ValueError if there is no image.
    """
    total = support.sum(axis=-1)
    if not np.all(total > 0):
        raise ValueError("metrics of no images are undefined; expected a confusion matrix with at least one image")
    recall, f1 = _ratio(correct, support), _ratio(2 * correct, support + claimed)
    return Metrics(
        accuracy=correct.sum(axis=-1) / total,
        macro_f1=np.asarray(np.nanmean(f1, axis=-1)),
        balanced_accuracy=np.asarray(np.nanmean(recall, axis=-1)),
        mcc=_matthews(correct.sum(axis=-1), support, claimed),
        precision=_ratio(correct, claimed),
        recall=recall,
        f1=f1,
        support=support,
    )


def _ratio(part: IntArray, whole: IntArray) -> FloatArray:
    ratio = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _matthews(correct: IntArray, support: IntArray, claimed: IntArray) -> FloatArray:
    """Return the correlation of labels and predictions as indicator vectors, `(...)`."""
    actual, guessed = support.astype(np.float64), claimed.astype(np.float64)
    total = actual.sum(axis=-1)
    covariance = correct * total - (actual * guessed).sum(axis=-1)
    variances = (total**2 - (actual**2).sum(axis=-1)) * (total**2 - (guessed**2).sum(axis=-1))
    mcc = np.full(total.shape, np.nan)
    np.divide(covariance, np.sqrt(variances), out=mcc, where=variances > 0)
    return mcc
