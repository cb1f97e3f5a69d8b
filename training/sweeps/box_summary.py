"""Say what a cross-validation of detection reached in boxes."""

from collections.abc import Iterator, Mapping, Sequence

from evaluation.boxes.document import BoxResults
from evaluation.boxes.over_folds import FoldBoxes, pool_seeds
from evaluation.params import EvaluateParams
from training.sweeps.found_summary import (
    ANY,
    FALSE_ALARM_RATE,
    Reached,
    cell,
    found_table,
    of_each_and_all,
    recall_cell,
)

_MEAN = "mean of the objects"
_COLUMNS = ("object", "AP50", "AP", "boxes", "found")
_NOTE = (
    "Boxes: average precision at an IoU of 0.5, and as mean over IoU 0.5 to 0.95; found, at an IoU of 0.5, where at "
    f"most {FALSE_ALARM_RATE} boxes a picture are false alarms. `{ANY}` is whatever a box was called."
)


def boxes_of(protocol: str, seeds: Mapping[int, FoldBoxes], params: EvaluateParams) -> list[Reached[BoxResults]]:
    """Measure each seed, then all together if there are several. Raises EvaluationError if they find other objects."""
    measured = ((seed, folds.measure(params)) for seed, folds in of_each_and_all(seeds, pool_seeds))
    return [Reached(protocol, seed, one.results, one.why_not, "found") for seed, one in measured]


def box_table(reached: Sequence[Reached[BoxResults]]) -> str:
    """Return a Markdown table: a row a seed and object, with how it reads; '' if nothing was reached."""
    return found_table(reached, _COLUMNS, _NOTE, _rows)


def _rows(boxes: BoxResults) -> Iterator[tuple[str, ...]]:
    """Yield the cells of any object, of each, and the means over these; of a single object once."""
    first = 1 if len(boxes.objects) == 1 else 0
    for result, objects in zip(boxes.results[first:], boxes.found[first:], strict=True):
        figures = result.precisions.ap50, result.precisions.ap
        number = f"{result.num_objects} on {result.num_groups} objects"
        yield (result.name or ANY, *map(cell, figures), number, recall_cell(objects))
    if not first:
        yield (_MEAN, cell(boxes.mean.ap50), cell(boxes.mean.ap), "", "")
