"""Tables and plot of what is found at a number of false alarms, for defects that are outlined and objects in boxes."""

from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from evaluation.outlines.document import Objects, RecallAt, SizeRecall
from evaluation.pages import sections as s
from evaluation.pages.curves import draw_free_response
from evaluation.pages.wording import counted, number, setting

ROWS_IN_CARD = 25

T = TypeVar("T")


@dataclass(frozen=True)
class FoundWords:
    """What things are called on a page.

    column: heads their names. anything: stands for any of them. thing: what is looked for. answers: what finds it, in
    the plural. area: heads their areas.
    """

    column: str
    anything: str
    thing: str
    answers: str
    area: str


def found_blocks(found: tuple[Objects, ...], words: FoundWords) -> tuple[s.Block, ...]:
    """Say what is found of each and how many false alarms are raised; found: of anything, then of each."""
    whole = found[0]
    rates = [f"Found at {setting(at.false_alarms)} false alarms an image" for at in whole.recall_at]
    rows = tuple(_row(one, words) for one in shown(found))
    table = s.Table((words.column, "Found", "False alarms an image", *rates), rows, in_card=ROWS_IN_CARD)
    blocks: list[s.Block] = [table, s.Paragraph(_scores(whole, words), is_note=True)]
    if whole.curve:
        alt = f"Share of {words.thing}s found over false alarms an image; the table above holds the ends."
        blocks.append(s.Plots((s.Plot(partial(draw_free_response, whole, f"{words.thing}s"), alt),)))
    if whole.by_size:
        sizes = tuple(
            (s.Cell(_size(part), counted(part.num_objects, words.thing)), s.measured(part.recall))
            for part in whole.by_size
        )
        blocks += [s.Heading("By size"), s.Table((words.area, "Found"), sizes)]
    return tuple(blocks)


def shown(of_any_and_each: tuple[T, ...]) -> tuple[T, ...]:
    """Leave the row of anything out where there is one thing only, which says the same."""
    return of_any_and_each[1:] if len(of_any_and_each) == 2 else of_any_and_each


def _row(objects: Objects, words: FoundWords) -> tuple[s.Line | s.Cell, ...]:
    counts = f"{counted(objects.num_objects, words.thing)} of {counted(objects.num_groups, 'group')}"
    name = s.Cell(objects.name or words.anything, counts)
    recalls = (s.measured(at.recall) for at in objects.recall_at)
    return name, s.measured(objects.recall), s.measured(objects.false_alarms), *recalls


def _scores(objects: Objects, words: FoundWords) -> str:
    """Say which answers count at each number of false alarms."""
    bounded = [at for at in objects.recall_at if not at.is_all]
    whole = [at for at in objects.recall_at if at.is_all][:1]  # what holds at the lower rate holds at the higher
    return " ".join(_score(at, words.answers) for at in (*bounded, *whole))


def _score(at: RecallAt, answers: str) -> str:
    rate = setting(at.false_alarms)
    if at.is_all:
        return f"All {answers} together raise no more than {rate} false alarms an image."
    if at.score is None:
        return f"At {rate} false alarms an image no {answers} count: the surest ones are too many."
    return f"At {rate} false alarms an image {answers} count that score at least {number(at.score)}."


def _size(part: SizeRecall) -> str:
    return f"{part.low_px} and more" if part.high_px is None else f"{part.low_px} to {part.high_px - 1}"
