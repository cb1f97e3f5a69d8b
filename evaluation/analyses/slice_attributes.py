"""By what test images are sliced: attributes of the manifest, the defect's area, image statistics; numbers in bins.

Bins are quantiles of the test images. Their edges are rounded to about two digits before images are assigned, so that a
name such as `120 to 160` says exactly what is in it.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.analyses.image_statistics import DEFECT_AREA, title_of
from evaluation.predictions import Predictions

NUM_BINS = 4
MAX_VALUES = 20  # of an attribute that is not numeric; more are names, not conditions
_MAX_DISCRETE = 8  # distinct numbers up to which each is a value of its own, such as exposures 1 to 6
NO_DEFECT = "none"

FloatArray = npt.NDArray[np.float64]
TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True)
class SliceAttribute:
    """One attribute with the condition that each of N test images meets; `values[i]` is '' where nothing is known.

    No two attributes of one evaluation have the same name.
    """

    name: str
    origin: str
    values: TextArray


def slice_attributes(test: Predictions, statistics: pd.DataFrame | None) -> list[SliceAttribute]:
    """Return everything by which the test images can be divided into two parts or more.

    statistics: of `read_statistics`, any order, with every test image; None leaves mask and pixels out.
    """
    own = pd.DataFrame() if statistics is None else statistics.set_index("path").loc[list(test.paths)]
    stated = set(test.attributes.columns)
    found = [
        SliceAttribute(name, "manifest", _condition(test.attributes[name].to_numpy(dtype=object)))
        for name in test.attributes.columns
    ]
    for name in own.columns:
        values = own[name].to_numpy(dtype=np.float64)
        if name == DEFECT_AREA:
            title = title_of("defect area (% of the picture)", stated)
            found.append(SliceAttribute(title, "mask", _areas(100 * values)))
        else:
            found.append(SliceAttribute(title_of(name, stated), "pixels", in_bins(values)))
    return [attribute for attribute in found if len(set(attribute.values) - {""}) > 1]


def _condition(texts: TextArray) -> TextArray:
    """Name values: numbers in bins if there are many, few distinct texts as they are, many not at all."""
    numbers = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(dtype=np.float64)
    distinct = set(texts) - {""}
    is_numeric = bool(np.isfinite(numbers[texts != ""]).all()) and len(distinct) > 0
    if is_numeric and len(distinct) > _MAX_DISCRETE:
        return in_bins(numbers)
    return texts if len(distinct) <= MAX_VALUES else np.full(len(texts), "", dtype=object)


def _areas(areas: FloatArray) -> TextArray:
    """Bin the areas of defects; images whose mask is empty are a value of their own."""
    names = in_bins(np.where(areas > 0, areas, np.nan))
    names[areas == 0] = NO_DEFECT
    return names


def in_bins(values: FloatArray) -> TextArray:
    """Return `(N,)` names of quantile bins such as `under 120`, `120 to 160`, `160 and more`; '' for NaN."""
    names = np.full(len(values), "", dtype=object)
    known = np.isfinite(values)
    if not known.any() or np.ptp(values[known]) == 0:
        return names
    quantiles = np.quantile(values[known], np.linspace(0, 1, NUM_BINS + 1))
    spread = quantiles[-2] - quantiles[1] or np.ptp(values[known])
    edges = np.unique([_rounded(edge, spread) for edge in quantiles[1:-1]])
    # An edge at or below the least value divides nothing off.
    edges = edges[(edges > values[known].min()) & (edges <= values[known].max())]
    if not len(edges):
        return names
    texts = [np.format_float_positional(edge, trim="-") for edge in edges]
    labels = [f"under {texts[0]}"]
    labels += [f"{low} to {high}" for low, high in itertools.pairwise(texts)]
    labels += [f"{texts[-1]} and more"]
    names[known] = np.asarray(labels, dtype=object)[np.searchsorted(edges, values[known], side="right")]
    return names


def _rounded(edge: float, spread: float) -> float:
    """Keep two digits of the edge, or of the spread where that is smaller, as it is for values far from 0."""
    scale = min(abs(edge), spread) or spread
    return float(np.round(edge, 1 - int(np.floor(np.log10(scale)))))
