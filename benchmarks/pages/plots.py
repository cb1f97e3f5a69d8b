"""The page's plots, as SVG: ours dark and thick, peers thin; a band from the least to the greatest round."""

import io
import statistics
from collections.abc import Callable, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.load.load import LoadResult
from benchmarks.load.servers import OURS
from benchmarks.load.turns import Kind, Turn

Read = Callable[[LoadResult], float | None]
_OUR_COLOUR = "#111111"
_SIZE_INCHES = (7.2, 3.8)


def throughput(turns: Sequence[Turn], limit_per_s: float) -> str:
    """Requests/s over clients, with the in-process limit."""
    figure, axes = _figure("clients (closed loop)", "answered with 200, a second")
    _over_clients(axes, turns, lambda result: result.goodput_per_s)
    axes.axhline(limit_per_s, linestyle=":", color="grey", label="in process, no server")
    return svg(figure, axes)


def latency(turns: Sequence[Turn]) -> str:
    """Median latency over clients."""
    figure, axes = _figure("clients (closed loop)", "p50, ms")
    axes.set_yscale("log")
    _over_clients(axes, turns, p50)
    return svg(figure, axes)


def overload_goodput(turns: Sequence[Turn]) -> str:
    """Goodput over capacity, by offered load over capacity."""
    figure, axes = _figure("offered load / own capacity (open loop)", "answered with 200 / own capacity")
    for name, own in _by_server(turns).items():
        points = [
            (p.level, p.result.goodput_per_s / t.capacity_per_s)
            for t in own
            if t.capacity_per_s
            for p in t.phases
            if p.kind == "overload"
        ]
        _line(axes, name, points)
    axes.set_ylim(bottom=0)
    return svg(figure, axes)


def overload_latency(turns: Sequence[Turn], deadline_ms: float) -> str:
    """p99 of what was answered with 200, by offered load over capacity."""
    figure, axes = _figure("offered load / own capacity (open loop)", "p99 of 200s from due time, ms")
    axes.set_yscale("log")
    for name, own in _by_server(turns).items():
        points = [
            (p.level, p.result.latency_ms["p99"])
            for t in own
            for p in t.phases
            if p.kind == "overload" and p.result.latency_ms
        ]
        _line(axes, name, points)
    axes.axhline(deadline_ms, linestyle=":", color="grey", label=f"deadline of {OURS}")
    return svg(figure, axes)


def around_a_burst(turns: Sequence[Turn]) -> str:
    """Median latency of one client before a burst and after it, a pair of bars a server."""
    moments: tuple[tuple[Kind, str], ...] = (("before", "before"), ("after", "2 s after 32 clients"))
    return _bars(turns, "p50 of 1 client, ms", moments, p50)


def large_photographs(turns: Sequence[Turn]) -> str:
    """Requests/s with photographs of 12 megapixels."""
    return _bars(turns, "12-megapixel photographs a second", (("large", ""),), lambda result: result.goodput_per_s)


def p50(result: LoadResult) -> float | None:
    return result.latency_ms["p50"] if result.latency_ms else None


def _figure(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.25)
    return figure, axes


def _by_server(turns: Sequence[Turn]) -> dict[str, list[Turn]]:
    grouped: dict[str, list[Turn]] = {}
    for turn in turns:
        grouped.setdefault(turn.server, []).append(turn)
    return dict(sorted(grouped.items(), key=lambda item: item[0] != OURS))  # ours first, so that colours stay


def _over_clients(axes: Axes, turns: Sequence[Turn], read: Read) -> None:
    for name, own in _by_server(turns).items():
        phases = [p for t in own for p in t.phases if p.kind in ("before", "sweep")]
        _line(axes, name, [(p.level, value) for p in phases if (value := read(p.result)) is not None])
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")


def _line(axes: Axes, name: str, points: Sequence[tuple[float, float]]) -> None:
    levels = sorted({level for level, _ in points})
    if not levels:
        return
    values = [[value for at, value in points if at == level] for level in levels]
    style = {"color": _OUR_COLOUR, "linewidth": 2.5} if name == OURS else {"linewidth": 1.2}
    (line,) = axes.plot(levels, list(map(statistics.median, values)), marker="o", markersize=3, label=name, **style)
    axes.fill_between(levels, list(map(min, values)), list(map(max, values)), alpha=0.15, color=line.get_color())


def _bars(turns: Sequence[Turn], label: str, kinds: Sequence[tuple[Kind, str]], read: Read) -> str:
    figure, axes = _figure(label, "")
    names = list(_by_server(turns))[::-1]
    height = 0.8 / len(kinds)
    for place, (kind, words) in enumerate(kinds):
        for row, name in enumerate(names):
            found = [read(p.result) for t in turns if t.server == name for p in t.phases if p.kind == kind]
            values = [value for value in found if value is not None]
            if values:
                middle = statistics.median(values)
                error = [[middle - min(values)], [max(values) - middle]]
                y = row - place * height + 0.4 - height / 2
                axes.barh(y, middle, height, xerr=error, color=f"C{place}", label=words if row == 0 else None)
    axes.set_yticks(range(len(names)), names)
    return svg(figure, axes)


def svg(figure: Figure, axes: Axes) -> str:
    """Return a figure as text, the same for the same values, with a legend of what has a label."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize="x-small")
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "benchmarks"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
