"""A run's history as one picture: loss, what was measured on validation pictures, and the rate, by epoch."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

PANELS = (
    ("loss", {"train_loss": "training", "val_loss": "validation"}),
    ("validation", {"val_macro_f1": "macro-F1", "val_accuracy": "accuracy"}),
    ("learning rate", {"lr": "highest of the groups, last step"}),
)
_DPI = 120
_COLOURS = ("#2b6cb0", "#c05621")


def draw_history(records: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a PNG of the epochs' records, each with `epoch` and figures; what an epoch has not is left out.

    Equal records give equal bytes (for one matplotlib version).
    """
    figure = Figure(figsize=(7, 8), layout="constrained")
    panels = figure.subplots(len(PANELS), sharex=True)
    for axes, (title, names) in zip(panels, PANELS, strict=True):
        for (name, label), colour in zip(names.items(), _COLOURS, strict=False):
            points = [(record["epoch"], record[name]) for record in records if _is_there(record.get(name))]
            if points:
                axes.plot(*zip(*points, strict=True), "o-", color=colour, label=label, markersize=3, linewidth=1.2)
        _finish(axes, title)
    panels[1].set_ylim(0, 1.02)
    for axes in (panels[0], panels[2]):
        axes.set_ylim(bottom=0)
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    FigureCanvasAgg(figure)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
    return png.getvalue()


def _finish(axes: Axes, title: str) -> None:
    axes.set_ylabel(title)
    axes.grid(color="#e5e9f0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, "nothing was measured", transform=axes.transAxes, ha="center", va="center")


def _is_there(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
