"""Say what a cross-validation of segmentation reached in outlines: of each seed's folds, and of all seeds together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evaluation.document import Estimate
from evaluation.outlines.document import Outlines
from evaluation.outlines.free_response import FALSE_ALARMS
from evaluation.outlines.measure import MeasuredOutlines
from evaluation.outlines.over_folds import FoldSums, pool_seeds
from evaluation.params import EvaluateParams

_ANY = "any"
_COLUMNS = ("region", "Dice", "IoU", "Dice by picture", "IoU by picture", "defects", "defects found")
_NOTE = (
    "Outlines: Dice and IoU of the pixels of all pictures together, and as mean over the pictures that have the "
    "region; defects, connected parts of the masks, found where at most {rate} parts a picture are false alarms. Each "
    "fold's model outlines from its own threshold on."
)


@dataclass(frozen=True)
class ReachedOutlines:
    """Outlines of one seed's pooled folds, or, if `seed` is None, of all seeds: each of their answers counts once."""

    protocol: str
    seed: int | None
    measured: MeasuredOutlines

    def document(self) -> dict[str, Any]:
        """Return what `summary.json` holds of it; curves and worst pictures are those of `evaluation.evaluate`."""
        outlines = self.measured.outlines
        return {
            "protocol": self.protocol,
            "seed": self.seed,
            "why_not": self.measured.why_not,
            "measured": outlines.model_dump(mode="json", exclude={"objects": {"__all__": {"curve"}}, "worst": True})
            if outlines
            else None,
        }


def outlines_of(protocol: str, seeds: Mapping[int, FoldSums], params: EvaluateParams) -> list[ReachedOutlines]:
    """Measure each seed, then all together if there are several. Raises EvaluationError if they have other regions."""
    reached = [ReachedOutlines(protocol, seed, sums.measure(params)) for seed, sums in seeds.items()]
    if len(seeds) > 1:
        reached.append(ReachedOutlines(protocol, None, pool_seeds(seeds).measure(params)))
    return reached


def outline_table(reached: list[ReachedOutlines]) -> str:
    """Return a Markdown table: a row a seed and region, with how it reads; '' if nothing was reached."""
    if not reached:
        return ""
    lines = [f"| split by | seed | {' | '.join(_COLUMNS)} |", f"|---|---|{'---|' * len(_COLUMNS)}"]
    notes = [_NOTE.format(rate=FALSE_ALARMS[0])]
    for one in reached:
        seed = "all, pooled" if one.seed is None else str(one.seed)
        if one.measured.outlines is None:
            notes.append(f"{one.protocol}, seed {seed}: {one.measured.why_not}")
            continue
        lines += [f"| {one.protocol} | {seed} | {' | '.join(cells)} |" for cells in _rows(one.measured.outlines)]
    table = [*lines, ""] if len(lines) > 2 else []
    return "\n".join([*table, *notes]) + "\n"


def _rows(outlines: Outlines) -> Iterator[tuple[str, ...]]:
    """Yield the cells of any region and of each; of a single region once."""
    first = 1 if len(outlines.regions) == 1 else 0
    for overlap, objects in zip(outlines.overlaps[first:], outlines.objects[first:], strict=True):
        found = next(at.recall for at in objects.recall_at if at.false_alarms == FALSE_ALARMS[0])
        figures = (overlap.dice, overlap.iou, overlap.picture_dice, overlap.picture_iou)
        number = f"{objects.num_objects} on {objects.num_groups} objects"
        yield (overlap.name or _ANY, *map(_cell, figures), number, _cell(found))


def _cell(estimate: Estimate) -> str:
    if estimate.value is None:
        return "–"
    ends = "" if estimate.low is None else f" ({estimate.low:.3f} to {estimate.high:.3f})"
    return f"{estimate.value:.3f}{ends}"
