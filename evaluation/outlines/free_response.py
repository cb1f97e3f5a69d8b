"""Recall of defects at a number of false alarms a picture: free-response analysis over the score of parts.

The free-response curve (Bunch et al. 1978; Chakraborty 2013, Physics in Medicine and Biology 58) lowers the least score
that a part must have and counts which defects are found and how many parts find none, a picture. A part's score is the
mean `foreground` of its pixels, as the service states it. Parts are those of the map at the contract's threshold, so
that the curve ends where all of them count.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from evaluation.document import Figure
from evaluation.outlines.document import FreeResponsePoint, Objects, RecallAt, SizeRecall
from evaluation.outlines.parts import BoolArray, FloatArray, IntArray
from evaluation.statistics.bootstrap import Resampling, Statistic, as_estimate, as_figure, figure_of_sums, ratio
from evaluation.statistics.found_scores import NEVER

FALSE_ALARMS = (0.1, 1.0)  # a picture, at which recall is stated
_MAX_POINTS = 200  # of the curve
_NUM_SIZES = 3  # parts of equal number that defects are divided into by their area
_RECALL, _ALARMS = "recall", "false alarms"

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Candidates:
    """Defects and parts of all pictures.

    defect_picture: `(D,)` position of the picture; defect_px: its area; found_by: best score of a part that finds it,
    NEVER without one. part_picture, scores: `(P,)` of the answer's parts; is_hit: whether each finds a defect.
    """

    defect_picture: Positions
    defect_px: IntArray
    found_by: FloatArray
    part_picture: Positions
    scores: FloatArray
    is_hit: BoolArray


def measure_objects(name: str, found: Candidates, resampling: Resampling, *, in_detail: bool) -> Objects:
    """Measure how defects are found on the pictures of `resampling`; in_detail: the curve and recall by size, too."""
    num_pictures, num_false = len(resampling.group_ids), int((~found.is_hit).sum())
    figures, bearing = _figures(found, resampling)
    return Objects(
        name=name,
        num_objects=len(found.defect_px),
        num_found=int((found.found_by > NEVER).sum()),
        num_groups=bearing,
        num_parts=len(found.scores),
        num_false=num_false,
        recall=as_estimate(figures[_RECALL]),
        false_alarms=figures[_ALARMS],
        recall_at=tuple(
            RecallAt(
                false_alarms=rate,
                score=_least_score(found, rate * num_pictures),
                is_all=num_false <= rate * num_pictures,
                recall=as_estimate(figures[_at(rate)]),
            )
            for rate in FALSE_ALARMS
        ),
        curve=_curve(found, num_pictures) if in_detail else (),
        by_size=_by_size(found, resampling) if in_detail else (),
    )


def _figures(found: Candidates, resampling: Resampling) -> tuple[dict[str, Figure], int]:
    """Return figures by name with their intervals, and the number of groups that have a defect."""
    whole = _recalls(found, resampling, np.ones((1, resampling.num_groups)))
    numbers_each = 4 * (len(found.scores) + len(found.defect_px))
    drawn = [_recalls(found, resampling, times.astype(np.float64)) for times in resampling.draws(numbers_each)]
    resampled = {name: np.concatenate([part[name] for part in drawn]) for name in whole}
    num_bearing = len(np.unique(resampling.group_ids[found.defect_picture]))
    bearing = dict.fromkeys(whole, num_bearing) | {_ALARMS: resampling.num_groups}
    figures = {
        name: as_figure(values[0], resampling.ends(resampled[name], bearing[name])) for name, values in whole.items()
    }
    return figures, num_bearing


def _recalls(found: Candidates, resampling: Resampling, times: FloatArray) -> dict[str, FloatArray]:
    """Return figures of `(b, G)` resamples, `(b,)` each: recall of all parts, false alarms, recall at each rate."""
    pictures = times @ np.bincount(resampling.group_ids, minlength=resampling.num_groups)
    weights = times[:, resampling.group_ids[found.defect_picture]]
    total = weights.sum(axis=1)
    scores, of_picture = _false_alarms(found)
    alarms = times[:, resampling.group_ids[of_picture]].cumsum(axis=1)
    num_alarms = alarms[:, -1] if len(scores) else np.zeros(len(times))
    figures = {_RECALL: ratio(weights[:, found.found_by > NEVER].sum(axis=1), total), _ALARMS: num_alarms / pictures}
    for rate in FALSE_ALARMS:
        too_many = alarms > rate * pictures[:, None]
        first = np.where(too_many.any(axis=1), too_many.argmax(axis=1), len(scores)) if len(scores) else [0]
        # A part must score more than the first false alarm too many, so that of equal scores all count or none.
        bar = np.append(scores, NEVER)[first]
        figures[_at(rate)] = ratio((weights * (found.found_by > bar[:, None])).sum(axis=1), total)
    return figures


def _at(rate: float) -> str:
    return f"recall at {rate}"


def _false_alarms(found: Candidates) -> tuple[FloatArray, Positions]:
    """Return the false alarms' scores, the highest first, and the positions of their pictures."""
    order = np.flatnonzero(~found.is_hit)
    order = order[np.argsort(-found.scores[order], kind="stable")]
    return found.scores[order], found.part_picture[order]


def _least_score(found: Candidates, max_alarms: float) -> float | None:
    """Return the least score of a part that counts where at most `max_alarms` parts may find no defect."""
    scores = _false_alarms(found)[0]
    place = int(np.floor(max_alarms))
    counting = found.scores[found.scores > scores[place]] if place < len(scores) else found.scores
    return float(counting.min()) if len(counting) else None


def _curve(found: Candidates, num_pictures: int) -> tuple[FreeResponsePoint, ...]:
    """Return the free-response curve from the highest score to the lowest; empty without defects or parts."""
    distinct = np.unique(found.scores)[::-1]
    if not len(distinct) or not len(found.found_by):
        return ()
    chosen = distinct[np.unique(np.linspace(0, len(distinct) - 1, _MAX_POINTS).astype(int))]
    scores = _false_alarms(found)[0]
    return tuple(
        FreeResponsePoint(
            score=float(score),
            false_alarms=float((scores >= score).sum()) / num_pictures,
            recall=float((found.found_by >= score).mean()),
        )
        for score in chosen
    )


def _by_size(found: Candidates, resampling: Resampling) -> tuple[SizeRecall, ...]:
    """Return the recall of small, middle and large defects, as many of each as equal areas allow."""
    areas = found.defect_px
    if not len(areas):
        return ()
    thirds = np.quantile(areas, np.arange(1, _NUM_SIZES) / _NUM_SIZES)
    edges = [1, *(int(edge) for edge in np.unique(np.ceil(thirds)) if 1 < edge <= areas.max())]
    size = np.searchsorted(edges, areas, side="right") - 1
    columns = np.zeros((len(resampling.group_ids), 2 * len(edges)))
    np.add.at(columns, (found.defect_picture, 2 * size), 1)
    np.add.at(columns, (found.defect_picture, 2 * size + 1), found.found_by > NEVER)
    names = [str(place) for place in range(len(edges))]
    bearing = {
        name: len(np.unique(resampling.group_ids[found.defect_picture[size == place]]))
        for place, name in enumerate(names)
    }
    statistics: dict[str, Statistic] = {name: partial(_share, place=2 * place) for place, name in enumerate(names)}
    figures = figure_of_sums(resampling, columns, statistics, bearing)
    return tuple(
        SizeRecall(
            low_px=edges[place],
            high_px=edges[place + 1] if place + 1 < len(edges) else None,
            num_objects=int((size == place).sum()),
            num_groups=bearing[name],
            recall=as_estimate(figures[name]),
        )
        for place, name in enumerate(names)
        if (size == place).any()
    )


def _share(sums: FloatArray, place: int) -> FloatArray:
    return ratio(sums[..., place + 1], sums[..., place])
