"""IoU, Dice and boundary F-score of each region, pooled and as mean over pictures, with intervals over groups.

A figure is undefined where no picture has the region; a resample without it is left out of that figure's interval, as
classes are (`evaluation.statistics.bootstrap`).
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from evaluation.document import Estimate
from evaluation.outlines.document import Overlap
from evaluation.outlines.parts import IntArray
from evaluation.outlines.picture_sums import (
    FOUND,
    FOUND_EDGE,
    FOUND_NEAR,
    OVERLAP,
    THERE,
    THERE_EDGE,
    THERE_NEAR,
)
from evaluation.statistics.bootstrap import (
    FloatArray,
    Resampling,
    Statistic,
    as_estimate,
    figure_of_sums,
    mean_where_defined,
    ratio,
)


class Means(NamedTuple):
    """Means over regions that are there."""

    iou: Estimate
    dice: Estimate


def dice_of(pixels: FloatArray) -> FloatArray:
    """Return Dice, `(...)`, of `(..., 3)` pixels that overlap, are answered and are true; NaN where none is true."""
    whole = np.where(pixels[..., THERE] > 0, pixels[..., FOUND] + pixels[..., THERE], 0)
    return ratio(2 * pixels[..., OVERLAP], whole)


def iou_of(pixels: FloatArray) -> FloatArray:
    """Return the intersection over union, as `dice_of`."""
    whole = pixels[..., FOUND] + pixels[..., THERE] - pixels[..., OVERLAP]
    return ratio(pixels[..., OVERLAP], np.where(pixels[..., THERE] > 0, whole, 0))


def boundary_f_of(edges: FloatArray) -> FloatArray:
    """Return the boundary F-score, `(...)`, of `(..., 4)` `PictureSums.edges`; NaN without a true outline."""
    precision = ratio(edges[..., FOUND_NEAR], edges[..., FOUND_EDGE])
    recall = ratio(edges[..., THERE_NEAR], edges[..., THERE_EDGE])
    score = ratio(2 * precision * recall, precision + recall)
    return np.where(edges[..., THERE_EDGE] > 0, np.nan_to_num(score), np.nan)


def measure_overlap(name: str, pixels: IntArray, edges: IntArray, resampling: Resampling) -> Overlap:
    """Measure one region. pixels: `(N, 3)`, edges: `(N, 4)` of `PictureSums`, of the pictures of `resampling`."""
    has = pixels[:, THERE] > 0
    counts = pixels.astype(np.float64)
    of_pictures = np.column_stack([iou_of(counts), dice_of(counts), boundary_f_of(edges.astype(np.float64))])
    defined = ~np.isnan(of_pictures)
    columns = np.hstack([pixels, edges, defined, np.nan_to_num(of_pictures)]).astype(np.float64)
    statistics: dict[str, Statistic] = {
        "iou": lambda s: iou_of(s[..., :3]),
        "dice": lambda s: dice_of(s[..., :3]),
        "boundary_f": lambda s: boundary_f_of(s[..., 3:7]),
        **{f"picture_{of}": partial(_mean, place=7 + i) for i, of in enumerate(("iou", "dice", "boundary_f"))},
    }
    bearing = dict.fromkeys(statistics, resampling.num_bearing(has))
    figures = figure_of_sums(resampling, columns, statistics, bearing)
    return Overlap(
        name=name,
        num_images=int(has.sum()),
        num_groups=resampling.num_bearing(has),
        there_px=int(pixels[:, THERE].sum()),
        found_px=int(pixels[:, FOUND].sum()),
        **{of: as_estimate(figure) for of, figure in figures.items()},
    )


def _mean(sums: FloatArray, place: int) -> FloatArray:
    """Return the mean over pictures; three columns of counts are followed by three of sums."""
    return ratio(sums[..., place + 3], sums[..., place])


def means_over_regions(pixels: IntArray, resampling: Resampling) -> Means:
    """Return means over the regions of `(N, R, 3)` pixels that are there."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float64)
    shape = pixels.shape[1:]
    statistics: dict[str, Statistic] = {
        "iou": lambda s: mean_where_defined(iou_of(s.reshape(*s.shape[:-1], *shape))),
        "dice": lambda s: mean_where_defined(dice_of(s.reshape(*s.shape[:-1], *shape))),
    }
    bearing = dict.fromkeys(statistics, resampling.num_bearing(pixels[..., THERE].sum(axis=1) > 0))
    figures = figure_of_sums(resampling, flat, statistics, bearing)
    return Means(as_estimate(figures["iou"]), as_estimate(figures["dice"]))
