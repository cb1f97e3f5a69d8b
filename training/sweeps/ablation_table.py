"""The rows of an ablation as CSV, Markdown and a plot: mean and spread over seeds, and what was not measured."""

import csv
import io
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from project.write_whole import write_whole

NOT_MEASURED = "not measured"
_MAX_REASON = 160  # characters; the whole of it is in the run's log
_TITLES = {
    "val_macro_f1": "macro-F1, val",
    "val_accuracy": "accuracy, val",
    "val_balanced_accuracy": "balanced accuracy, val",
    "test_macro_f1": "macro-F1, test",
    "test_accuracy": "accuracy, test",
    "seconds": "seconds a run",
}
_DPI = 120
_FAINT, _POINT = "#9aa5b1", "#2b6cb0"


@dataclass
class Row:
    """One arm: each figure's value for each seed, or the reason why there is none."""

    name: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    reason: str = ""

    def add(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(value)

    @property
    def num_seeds(self) -> int:
        return max(map(len, self.figures.values()), default=0)

    def cell(self, name: str) -> str:
        """Return mean ± standard deviation (of the sample) over seeds."""
        values = self.figures.get(name)
        if not values or self.reason:
            return NOT_MEASURED
        digits = 0 if name == "seconds" else 3
        mean = f"{statistics.mean(values):.{digits}f}"
        return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def write_tables(title: str, rows: list[Row], out_dir: Path) -> str:
    """Write `table.csv`, `table.md` and `plot.png`; return the Markdown."""
    markdown = _markdown(rows)
    for name, content in (("table.md", markdown), ("table.csv", _csv(rows)), ("plot.png", _draw(title, rows))):
        write_whole(out_dir / name, content)
    return markdown


def _columns(rows: list[Row]) -> list[str]:
    return [name for name in _TITLES if any(name in row.figures for row in rows)]


def _markdown(rows: list[Row]) -> str:
    columns = _columns(rows)
    has_reasons = any(row.reason for row in rows)
    head = ["", "seeds", *(_TITLES[name] for name in columns), *(["why not"] if has_reasons else [])]
    lines = [_line(head), "|---|" + "--:|" * (1 + len(columns)) + ("---|" if has_reasons else "")]
    for row in rows:
        seeds = "0" if row.reason else str(row.num_seeds)
        why = [_shortened(row.reason)] if has_reasons else []
        lines.append(_line([row.name, seeds, *(row.cell(name) for name in columns), *why]))
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shortened(reason: str) -> str:
    return reason if len(reason) <= _MAX_REASON else reason[: _MAX_REASON - 1] + "…"


def _csv(rows: list[Row]) -> str:
    """Write one line for each arm and figure, with the value of every seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "figure", "mean", "standard_deviation", "lowest", "highest", "values", "reason"])
    for row in rows:
        if row.reason or not row.figures:
            writer.writerow([row.name, "", "", "", "", "", "", row.reason])
            continue
        for name, values in row.figures.items():
            spread = statistics.stdev(values) if len(values) > 1 else ""
            shown = " ".join(map(str, values))
            writer.writerow([row.name, name, statistics.mean(values), spread, min(values), max(values), shown, ""])
    return text.getvalue()


def _draw(title: str, rows: list[Row]) -> bytes:
    """Draw every seed as a point and the mean as a line, the first arm on top."""
    figure = Figure(figsize=(7, 1.5 + 0.45 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for position, row in enumerate(rows):
        values = row.figures.get("val_macro_f1", [])
        if row.reason or not values:
            axes.text(0.02, position, NOT_MEASURED, va="center", color=_FAINT, fontsize=9)
            continue
        axes.plot(values, [position] * len(values), "o", color=_POINT, alpha=0.5, clip_on=False)
        axes.plot([statistics.mean(values)] * 2, [position - 0.3, position + 0.3], color=_POINT, linewidth=2)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("macro-F1 on validation pictures:\neach seed, and the mean")
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
