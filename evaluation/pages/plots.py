"""Plots of an evaluation, as PNG or SVG: equal evaluations give equal bytes (for one matplotlib version).

Figures are drawn without pyplot, so that no display is needed. Class names are plain text, never mathematics, whatever
they contain. In an SVG text stays text, which the reader's browser draws with fonts of its own; in a PNG a class whose
name no font of the system shows stands by its number.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from evaluation.comparison import Comparison
from evaluation.evaluation import Evaluation
from evaluation.pages.wording import HEADLINE_NAMES, confidence, counted, share_of_resamples
from project.fonts import drawable_names, families_for, missing_in

_DPI = 160
_WIDTH_IN = 4.4  # of plots: nine points then stay readable on a phone, which shows the whole width
_INK, _FAINT, _BAR = "#1f2933", "#9aa5b1", "#2b6cb0"
_MAX_LABEL = 24  # characters of a class name on an axis
_DARK = 0.55  # share of a row above which a cell is dark enough to need white text
_CELL_IN = 0.42  # room for a count of four digits
_MAX_COUNTED = 40  # classes up to which every cell has its count; the picture is as large for any number above
_MAX_NAMED = 220  # classes up to which each has its name on the axes: 4 points, which a reader can enlarge
_POINTS_PER_IN = 72
_UNMEASURED_EM = 0.4  # what the box that stands for a missing character lacks to a full square
_MAX_BARS = 100  # classes whose F1 is drawn


@dataclass(frozen=True)
class HeadlinePlots:
    """Plots of one evaluation, drawn once for all who show them."""

    confusion: Figure
    per_class_f1: Figure

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        return cls(draw_confusion(evaluation), draw_per_class_f1(evaluation))

    def for_png(self, evaluation: Evaluation) -> Self:
        """Return these plots or, where a class's name cannot be drawn on this machine, those with its number."""
        names = drawable_names(evaluation.classes)
        if all(name == shown for name, shown in names.items()):
            return self
        results = tuple(result.model_copy(update={"name": names[result.name]}) for result in evaluation.per_class)
        return self.of(evaluation.model_copy(update={"classes": tuple(names.values()), "per_class": results}))


def draw_confusion(evaluation: Evaluation) -> Figure:
    """Draw the confusion matrix: numbers are images, colour is the share of the row, so that rare classes show.

    Above _MAX_COUNTED classes colour speaks alone, for the numbers could not be read, and the picture does not grow.
    """
    counts = np.asarray(evaluation.confusion)
    support = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    num_classes = len(evaluation.classes)
    is_counted = num_classes <= _MAX_COUNTED
    matrix_in = max(2.2, _CELL_IN * min(num_classes, _MAX_COUNTED))
    side_in = 1.5 + matrix_in
    figure = Figure(figsize=(side_in + 0.5, side_in), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if num_classes <= _MAX_NAMED:
        _draw_lines_between_cells(axes, num_classes)
    font_size = 9 if num_classes <= 12 else 8
    for row, column in np.argwhere(counts > 0) if is_counted else ():
        colour = "white" if shares[row, column] > _DARK else _INK
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=font_size)
    _name_classes(axes, evaluation.classes, matrix_in, font_size)
    larger = 1 if is_counted else 2  # of a large picture, which is seen reduced
    axes.set_xlabel("predicted", fontsize=10 * larger)
    axes.set_ylabel("actual", fontsize=10 * larger)
    colour_bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03)
    colour_bar.set_label("share of the actual class", fontsize=10 * larger)
    colour_bar.ax.tick_params(labelsize=font_size * larger)
    return figure


def _draw_lines_between_cells(axes: Axes, num_classes: int) -> None:
    """Draw them thin, so that empty neighbours stay countable."""
    axes.set_xticks(np.arange(num_classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(num_classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#d9e2ec", linewidth=0.6 * min(1.0, _MAX_COUNTED / num_classes))


def _name_classes(axes: Axes, classes: Sequence[str], matrix_in: float, font_size: float) -> None:
    """Write as many names as there is room for: all up to _MAX_NAMED, then every second, third and so on."""
    step = -(-len(classes) // _MAX_NAMED)
    places = range(0, len(classes), step)
    labels = [_shortened(classes[place]) for place in places]
    pitch_points = _POINTS_PER_IN * matrix_in * step / len(classes)
    slope = (
        {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        if len(classes) <= _MAX_COUNTED
        else {"rotation": 90}  # slanting lines would touch
    )
    families = families_for(labels)
    axes.set_xticks(places, labels, parse_math=False, fontfamily=families, **slope)
    axes.set_yticks(places, labels, parse_math=False, fontfamily=families)
    axes.tick_params(which="both", length=0)
    axes.tick_params(labelsize=min(font_size, 0.75 * pitch_points))


def draw_per_class_f1(evaluation: Evaluation) -> Figure:
    """Draw each class's F1 with its interval, the highest on top; an undefined F1 is said in words.

    Above _MAX_BARS classes those of the lowest F1 are drawn: a taller picture could not be read, nor be drawn at all.
    """
    ordered = sorted(evaluation.per_class, key=lambda c: -1.0 if c.f1.value is None else c.f1.value)[:_MAX_BARS]
    figure = Figure(figsize=(_WIDTH_IN, 0.9 + 0.38 * len(ordered)), layout="constrained")
    axes = figure.add_subplot()
    for position, result in enumerate(ordered):
        if result.f1.value is None:
            axes.text(0.01, position, "undefined: never there, never predicted", va="center", color=_FAINT, fontsize=9)
            continue
        if result.f1.low is not None and result.f1.high is not None:
            axes.plot([result.f1.low, result.f1.high], [position, position], color=_BAR, linewidth=5, alpha=0.35)
        axes.plot(result.f1.value, position, "o", color=_BAR, markersize=7, clip_on=False)
    # Only a single line stands right where a browser's font is wider than the one that was measured with.
    parted = ": " if missing_in("".join(c.name for c in ordered)) else "\n"
    names = [
        f"{_shortened(c.name)}{parted}{counted(c.num_images, 'image')}, {counted(c.num_groups, 'group')}"
        for c in ordered
    ]
    axes.set_yticks(range(len(ordered)), names, parse_math=False, fontfamily=families_for(names))
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.set_xlim(0, 1)
    quieten(axes)
    drawn = f"the {_MAX_BARS} lowest of {len(evaluation.per_class)}\n" if len(evaluation.per_class) > _MAX_BARS else ""
    axes.set_xlabel(f"{drawn}F1, bar: {confidence(evaluation)} interval over groups")
    return figure


def draw_differences(comparison: Comparison) -> Figure:
    """Draw the differences of two models with their intervals; right of the line the second is better."""
    rows = [(title, getattr(comparison, name)) for name, title in HEADLINE_NAMES.items()]
    rows += [(f"Dice of {_shortened(part.name) or 'any region'}", part.dice) for part in comparison.shown_outlines]
    rows += [(f"recall of {_shortened(part.name)}", part.recall) for part in comparison.per_class]
    figure = Figure(figsize=(_WIDTH_IN, 0.9 + 0.36 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=_INK, linewidth=1)
    for position, (_, part) in enumerate(reversed(rows)):
        if part.low is not None and part.high is not None:
            axes.plot([part.low, part.high], [position, position], color=_BAR, linewidth=5, alpha=0.35)
        if part.difference is not None:
            axes.plot(part.difference, position, "o", color=_BAR, markersize=7, clip_on=False)
    titles = [title for title, _ in reversed(rows)]
    axes.set_yticks(range(len(rows)), titles, parse_math=False, fontfamily=families_for(titles))
    axes.set_ylim(-0.6, len(rows) - 0.4)
    quieten(axes)
    axes.set_xlabel(f"second minus first\nbar: {share_of_resamples(comparison.confidence)} interval over groups")
    return figure


def quieten(axes: Axes) -> None:
    """Leave of the axes what a reader needs."""
    axes.grid(axis="x", color="#d9e2ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _shortened(name: str) -> str:
    """Cut the middle, for long class names often differ at their ends."""
    half = _MAX_LABEL // 2
    return name if len(name) <= _MAX_LABEL else f"{name[:half]}…{name[1 - half :]}"


def to_png(figure: Figure) -> bytes:
    """Return the figure's PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)  # draws without a display, whatever backend is configured
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure) -> bytes:
    """Return the figure's SVG with its text as text; equal figures give equal bytes.

    Characters that no font of this machine has are measured too narrow, so that the picture gets room for them.
    """
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "evaluation"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
        figure.draw_without_rendering()
        room = max(_missing_room_in(text) for text in figure.findobj(Text))
        box = Bbox.from_extents(-room, -room, *figure.get_size_inches())
        figure.savefig(buffer, format="svg", bbox_inches=box, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _missing_room_in(text: Text) -> float:
    """Return by how many inches text is wider than measured, if each unknown character is as wide as it is high."""
    num_missing = max(sum(map(line.count, missing_in(line))) for line in text.get_text().split("\n"))
    return num_missing * _UNMEASURED_EM * float(text.get_fontsize()) / _POINTS_PER_IN
