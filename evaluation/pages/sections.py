"""What the report and the model card are made of: sections of text, tables, plots and pictures, without any markup.

Every string is plain text. The renderers, `evaluation.pages.markdown` and `evaluation.pages.page`, escape each one, so
that a class's name or a path shows as it is written, whatever it holds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from matplotlib.figure import Figure as Drawing

from evaluation.document import Estimate, Figure
from evaluation.pages.wording import interval, number


@dataclass(frozen=True)
class Strong:
    """Words that stand out."""

    text: str


@dataclass(frozen=True)
class Code:
    """A name, path or hash, to be read letter by letter."""

    text: str


@dataclass(frozen=True)
class Badge:
    """A warning of one word behind a name."""

    text: str


@dataclass(frozen=True)
class Link:
    """An address."""

    address: str


Inline = str | Strong | Code | Badge | Link
Line = Inline | tuple[Inline, ...]


@dataclass(frozen=True)
class Cell:
    """A cell of a table with small print: below the text in HTML, in brackets behind it in Markdown."""

    text: Line
    note: str = ""


@dataclass(frozen=True)
class Heading:
    """The title of a part of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; `is_note` makes it small print."""

    text: Line
    is_note: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list; the model card shows the first `in_card` items, None: all."""

    items: tuple[Line, ...]
    in_card: int | None = None


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows; the model card shows the first `in_card` rows, None: all.

    `marked` is the position of a column that is marked as misleading. `is_text` says that columns hold text and not
    numbers.
    """

    header: tuple[Line | Cell, ...]
    rows: tuple[tuple[Line | Cell, ...], ...]
    in_card: int | None = None
    marked: int | None = None
    is_text: bool = False


@dataclass(frozen=True)
class Plot:
    """A plot that is drawn once a page shows it; `alt` says what it shows. The model card has none."""

    draw: Callable[[], Drawing]
    alt: str


@dataclass(frozen=True)
class Plots:
    """Plots one below the other or, if they are `small`, side by side."""

    plots: tuple[Plot, ...]
    small: bool = False


@dataclass(frozen=True)
class Provenance:
    """Where a picture comes from: its file, its object's group and its hash, both '' where they are not told."""

    path: str
    group: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Picture:
    """One picture, or two that belong together, with lines of text and their provenance; `files` are what is shown."""

    files: tuple[str, ...]
    caption: tuple[Line, ...]
    provenance: tuple[Provenance, ...]


@dataclass(frozen=True)
class Gallery:
    """Pictures of the data set, of the review or of answers; the model card lists the first `in_card` in words."""

    pictures: tuple[Picture, ...]
    source: Literal["data", "review", "drawn"] = "data"
    is_wide: bool = False
    in_card: int = 0


@dataclass(frozen=True)
class Box:
    """A passage set apart."""

    title: str
    text: tuple[Line, ...]
    is_warning: bool = True


@dataclass(frozen=True)
class Detail:
    """What a page shows and the model card leaves out."""

    blocks: "tuple[Block, ...]"


Block = Heading | Paragraph | Bullets | Table | Plots | Gallery | Box | Detail


@dataclass(frozen=True)
class Section:
    """A part of a report or a card; `name` is its anchor, `short` its title in the contents.

    The model card leaves a section out that is not `in_card`: what was not measured, where the report says
    why, and what is nothing without pictures.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
    short: str = ""
    in_card: bool = field(default=True, kw_only=True)


def measured(estimate: Estimate | Figure) -> Cell:
    """Return a figure as a cell, its interval as small print where there is one."""
    has_interval = estimate.value is not None and estimate.low is not None
    return Cell(number(estimate.value), interval(estimate) if has_interval else "")


def prose(*parts: Line) -> tuple[Inline, ...]:
    """Join sentences to one paragraph, with a space between them; '' and () are left out."""
    joined: list[Inline] = []
    for part in parts:
        line = part if isinstance(part, tuple) else (part,)
        if any(line):
            joined += [" ", *line] if joined else line
    return tuple(joined)
