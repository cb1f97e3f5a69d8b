"""Say what a cross-validation reached in what its task finds: of each seed's folds, and of all seeds together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from evaluation.boxes.document import BoxResults
from evaluation.document import Estimate
from evaluation.outlines.document import Objects, Outlines
from evaluation.outlines.free_response import FALSE_ALARMS

ANY = "any"
FALSE_ALARM_RATE = FALSE_ALARMS[0]  # a picture, at which it is stated how much is found

Figures = TypeVar("Figures", Outlines, BoxResults)
Folds = TypeVar("Folds")


@dataclass(frozen=True)
class Reached(Generic[Figures]):
    """Figures of one seed's pooled folds, or, if `seed` is None, of all seeds: each of their answers counts once.

    figures: None where `why_not` says why. curves: the field of the figures whose entries have curves.
    """

    protocol: str
    seed: int | None
    figures: Figures | None
    why_not: str
    curves: str

    def document(self) -> dict[str, Any]:
        """Return what `summary.json` holds of it; curves and worst pictures are those of `evaluation.evaluate`."""
        left_out: dict[str, Any] = {self.curves: {"__all__": {"curve"}}, "worst": True}
        return {
            "protocol": self.protocol,
            "seed": self.seed,
            "why_not": self.why_not,
            "measured": self.figures.model_dump(mode="json", exclude=left_out) if self.figures else None,
        }


class SummedUp(Protocol):
    """What folds give `summary.json` and the tables."""

    def document(self) -> dict[str, Any]: ...


def of_each_and_all(
    seeds: Mapping[int, Folds], pool: Callable[[Mapping[int, Folds]], Folds]
) -> Iterator[tuple[int | None, Folds]]:
    """Yield each seed with its folds, then, if there are several, None with those of all together."""
    yield from seeds.items()
    if len(seeds) > 1:
        yield None, pool(seeds)


def found_table(
    reached: Sequence[Reached[Figures]], columns: Sequence[str], note: str,
    rows: Callable[[Figures], Iterator[tuple[str, ...]]],
) -> str:  # fmt: skip
    """Return a Markdown table: the rows of each seed, with how it reads; '' if nothing was reached."""
    if not reached:
        return ""
    lines: list[str] = [f"| split by | seed | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    notes: list[str] = [note]
    for one in reached:
        seed = "all, pooled" if one.seed is None else str(one.seed)
        if one.figures is None:
            notes.append(f"{one.protocol}, seed {seed}: {one.why_not}")
            continue
        lines += [f"| {one.protocol} | {seed} | {' | '.join(cells)} |" for cells in rows(one.figures)]
    table: list[str] = [*lines, ""] if len(lines) > 2 else []
    return "\n".join([*table, *notes]) + "\n"


def recall_cell(objects: Objects) -> str:
    """State which share is found at `FALSE_ALARM_RATE`."""
    return cell(next(at.recall for at in objects.recall_at if at.false_alarms == FALSE_ALARM_RATE))


def cell(estimate: Estimate) -> str:
    """State a figure with its interval."""
    if estimate.value is None:
        return "–"
    ends = "" if estimate.low is None else f" ({estimate.low:.3f} to {estimate.high:.3f})"
    return f"{estimate.value:.3f}{ends}"
