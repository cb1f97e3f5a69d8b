"""How a model does on parts of the data: one slice for each value of each attribute, such as an exposure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.predictions import Predictions
from evaluation.statistics.metrics import confusion_matrix, metrics_of_confusion


@dataclass(frozen=True)
class Slice:
    """The images whose `attribute` has `value`; `rows` are `(M,)` their positions, accuracy and macro_f1 in [0, 1]."""

    attribute: str
    value: str
    rows: npt.NDArray[np.intp]
    accuracy: float
    macro_f1: float


def slice_by_attributes(predictions: Predictions, min_images: int) -> tuple[list[Slice], int]:
    """Return slices of at least `min_images` images, the lowest accuracy first, and how many were smaller.

    An attribute with one value is no slice: it is the whole.
    """
    slices, num_smaller = [], 0
    for attribute in predictions.attributes.columns:
        values = predictions.attributes[attribute].to_numpy(dtype=object)
        distinct, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        if len(distinct) < 2:
            continue
        num_smaller += int((counts < min_images).sum())
        # An attribute may be as good as a name, with as many values as images: one sort finds the rows of them all.
        order, ends = np.argsort(inverse, kind="stable"), np.cumsum(counts)
        for which in np.flatnonzero(counts >= min_images):
            rows = order[ends[which] - counts[which] : ends[which]]
            slices.append(_measure(predictions, attribute, distinct[which], rows))
    return sorted(slices, key=lambda s: (s.accuracy, s.macro_f1, s.attribute, s.value)), num_smaller


def _measure(predictions: Predictions, attribute: str, value: str, rows: npt.NDArray[np.intp]) -> Slice:
    confusion = confusion_matrix(predictions.labels[rows], predictions.predicted[rows], len(predictions.classes))
    metrics = metrics_of_confusion(confusion)
    return Slice(attribute, value, rows, float(metrics.accuracy), float(metrics.macro_f1))
