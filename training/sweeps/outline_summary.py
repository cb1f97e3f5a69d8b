"""Say what a cross-validation of segmentation reached in outlines."""

from collections.abc import Iterator, Mapping, Sequence

from evaluation.outlines.document import Outlines
from evaluation.outlines.over_folds import FoldSums, pool_seeds
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

_COLUMNS = ("region", "Dice", "IoU", "Dice by picture", "IoU by picture", "defects", "defects found")
_NOTE = (
    "Outlines: Dice and IoU of the pixels of all pictures together, and as mean over the pictures that have the "
    f"region; defects, connected parts of the masks, found where at most {FALSE_ALARM_RATE} parts a picture are false "
    "alarms. Each fold's model outlines from its own threshold on."
)


def outlines_of(
    protocol: str, seeds: Mapping[int, FoldSums], params: EvaluateParams
) -> list[Reached[Outlines]]:  # fmt: skip
    """Measure each seed, then all together if there are several. Raises EvaluationError if they have other regions."""
    measured = ((seed, sums.measure(params)) for seed, sums in of_each_and_all(seeds, pool_seeds))
    return [Reached(protocol, seed, one.outlines, one.why_not, "objects") for seed, one in measured]


def outline_table(reached: Sequence[Reached[Outlines]]) -> str:
    """Return a Markdown table: a row a seed and region, with how it reads; '' if nothing was reached."""
    return found_table(reached, _COLUMNS, _NOTE, _rows)


def _rows(outlines: Outlines) -> Iterator[tuple[str, ...]]:
    """Yield the cells of any region and of each; of a single region once."""
    first = 1 if len(outlines.regions) == 1 else 0
    for overlap, objects in zip(outlines.overlaps[first:], outlines.objects[first:], strict=True):
        figures = (overlap.dice, overlap.iou, overlap.picture_dice, overlap.picture_iou)
        number = f"{objects.num_objects} on {objects.num_groups} objects"
        yield (overlap.name or ANY, *map(cell, figures), number, recall_cell(objects))
