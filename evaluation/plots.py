"""Pictures of an evaluation, as PNG bytes: equal evaluations give equal bytes (for one matplotlib version).

Figures are drawn without pyplot, so nothing global changes and no display is needed. Class names are plain text, never
mathematics, whatever they contain.
"""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.comparison import Comparison
from evaluation.evaluation import Evaluation
from evaluation.wording import HEADLINE_NAMES, confidence, counted, share_of_resamples

_DPI = 160
_WIDTH_IN = 4.4  # of plots: nine points then stay readable on a phone, which shows the whole width
_INK, _FAINT, _BAR = "#1f2933", "#9aa5b1", "#2b6cb0"
_MAX_LABEL = 24  # characters of a class name on an axis
_DARK = 0.55  # share of a row above which a cell is dark enough to need white text


def draw_confusion(evaluation: Evaluation) -> bytes:
    """Draw the confusion matrix: numbers are images, colour is the share of the row, so that rare classes show."""
    counts = np.asarray(evaluation.confusion)
    support = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    num_classes = len(evaluation.classes)
    is_small = num_classes <= 12
    side_in = 1.5 + max(2.2, 0.42 * num_classes)
    figure = Figure(figsize=(side_in + 0.5, side_in), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    # Thin white lines between cells, so that empty neighbours stay countable.
    axes.set_xticks(np.arange(num_classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(num_classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#d9e2ec", linewidth=0.6)
    axes.tick_params(which="both", length=0)
    font_size = 9 if is_small else 8
    for row, column in np.argwhere(counts > 0):
        colour = "white" if shares[row, column] > _DARK else _INK
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=font_size)
    labels = [_shortened(name) for name in evaluation.classes]
    axes.set_xticks(range(num_classes), labels, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(num_classes), labels, parse_math=False)
    axes.tick_params(labelsize=font_size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    colour_bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03)
    colour_bar.set_label("share of the actual class")
    colour_bar.ax.tick_params(labelsize=font_size)
    return to_png(figure)


def draw_per_class_f1(evaluation: Evaluation) -> bytes:
    """Draw each class's F1 with its interval, the highest on top; an undefined F1 is said in words."""
    ordered = sorted(evaluation.per_class, key=lambda c: -1.0 if c.f1.value is None else c.f1.value)
    figure = Figure(figsize=(_WIDTH_IN, 0.9 + 0.38 * len(ordered)), layout="constrained")
    axes = figure.add_subplot()
    for position, result in enumerate(ordered):
        if result.f1.value is None:
            axes.text(0.01, position, "undefined: never there, never predicted", va="center", color=_FAINT, fontsize=9)
            continue
        if result.f1.low is not None and result.f1.high is not None:
            axes.plot([result.f1.low, result.f1.high], [position, position], color=_BAR, linewidth=5, alpha=0.35)
        axes.plot(result.f1.value, position, "o", color=_BAR, markersize=7, clip_on=False)
    names = [
        f"{_shortened(c.name)}\n{counted(c.num_images, 'image')}, {counted(c.num_groups, 'group')}" for c in ordered
    ]
    axes.set_yticks(range(len(ordered)), names, parse_math=False)
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.set_xlim(0, 1)
    quieten(axes)
    axes.set_xlabel(f"F1, bar: {confidence(evaluation)} interval over groups")
    return to_png(figure)


def draw_differences(comparison: Comparison) -> bytes:
    """Draw the differences of two models with their intervals; right of the line the second is better."""
    rows = [(title, getattr(comparison, name)) for name, title in HEADLINE_NAMES.items()]
    rows += [(f"recall of {_shortened(part.name)}", part.recall) for part in comparison.per_class]
    figure = Figure(figsize=(_WIDTH_IN, 0.9 + 0.36 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=_INK, linewidth=1)
    for position, (_, part) in enumerate(reversed(rows)):
        if part.low is not None and part.high is not None:
            axes.plot([part.low, part.high], [position, position], color=_BAR, linewidth=5, alpha=0.35)
        if part.difference is not None:
            axes.plot(part.difference, position, "o", color=_BAR, markersize=7, clip_on=False)
    axes.set_yticks(range(len(rows)), [title for title, _ in reversed(rows)], parse_math=False)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    quieten(axes)
    axes.set_xlabel(f"second minus first\nbar: {share_of_resamples(comparison.confidence)} interval over groups")
    return to_png(figure)


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
