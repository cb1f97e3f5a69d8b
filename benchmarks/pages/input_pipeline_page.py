"""The input pipeline's run as one HTML file and as the Markdown table of docs/INPUT_PIPELINE.md."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from benchmarks.pages.input_pipeline_ratios import CACHED, LEAN_PEER, OURS, PEER, Turn, ratios
from benchmarks.pages.page import fill, spread_in_words
from benchmarks.pages.summary import Spread

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Input pipeline</title><style>
body { font: 16px/1.5 system-ui, sans-serif; color: #111; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .7rem; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
.warn { background: #fff3cd; padding: .5rem 1rem; }
</style></head><body>
<h1>Input pipeline</h1>
<p>{{ machine.begun }}: {{ machine.processor }}, {{ machine.num_cores }} cores, {{ machine.memory_gib }} GiB,
{{ machine.system }}, Python {{ machine.python }};
{% for name, version in machine.versions.items() %}{{ name }} {{ version }}{{ ", " if not loop.last }}{% endfor %}.</p>
{% if machine.load_before > 0.5 %}<p class="warn">The machine was not idle: load average {{ machine.load_before }}
before the run. Contenders took turns, so ratios say something; pictures a second do not.</p>{% endif %}
<p>Median over rounds with the least and the greatest; ratios are of pictures a second in turns of one round. Batches of
{{ batch_size }}, one thread a process. "Lean" leaves the conversion to float and the normalisation to the model, as
ours does.</p>
<table><tr>{% for cell in rows[0] %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in rows[1:] %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<img alt="Pictures a second, ours divided by ImageFolder" src="data:image/svg+xml;base64,{{ plot }}">
</body></html>
"""
HEAD = (
    "pictures", "workers", "ours / ImageFolder", "cached / ImageFolder", "ours / lean", "cached / lean",
    "CPU ms a picture: ours", "cached", "ImageFolder", "lean",
)  # fmt: skip


def render(machine: dict[str, Any], batch_size: int, turns: Sequence[Turn]) -> str:
    """Return the page of a run."""
    plot = base64.b64encode(_plot(turns).encode()).decode()
    return fill(TEMPLATE, machine=machine, batch_size=batch_size, rows=rows(turns), plot=plot)


def markdown(turns: Sequence[Turn]) -> str:
    """Return the same table as Markdown."""
    head, *body = [" | ".join(row) for row in rows(turns)]
    return "\n".join(f"| {line} |" for line in [head, "|".join(["---"] * len(HEAD)), *body]) + "\n"


def rows(turns: Sequence[Turn]) -> list[tuple[str, ...]]:
    """Return the table's lines, the head first."""
    return [HEAD, *(_row(turns, pictures, workers) for pictures, workers in _cases(turns))]


def _row(turns: Sequence[Turn], pictures: str, workers: int) -> tuple[str, ...]:
    cells = [pictures, str(workers)]
    for peer in (PEER, LEAN_PEER):
        found = ratios(turns, pictures, workers, peer)
        cells += [spread_in_words(Spread.of(found[name]), 2) for name in (OURS, CACHED)]
    for name in (OURS, CACHED, PEER, LEAN_PEER):
        own = [t for t in turns if (t.pictures, t.num_workers, t.contender) == (pictures, workers, name)]
        spread = Spread.of([t.cpu_ms_per_picture for t in own])
        cells.append("–" if spread is None else f"{spread.median:.2f}")
    return tuple(cells)


def _cases(turns: Sequence[Turn]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((turn.pictures, turn.num_workers) for turn in turns))


def _plot(turns: Sequence[Turn]) -> str:
    cases = _cases(turns)
    with matplotlib.rc_context({"svg.hashsalt": "input_pipeline"}):
        figure = Figure(figsize=(7.2, 1 + 0.55 * len(cases)), layout="constrained")
        axes = figure.subplots()
        for offset, (name, colour) in enumerate(((OURS, "#999999"), (CACHED, "#111111"))):
            for y, case in enumerate(cases):
                spread = Spread.of(ratios(turns, *case, PEER)[name])
                assert spread is not None
                error = [[spread.median - spread.low], [spread.high - spread.median]]
                axes.barh(y + 0.38 * offset, spread.median, 0.36, color=colour, xerr=error, ecolor="#cc3311",
                          label=name if y == 0 else None)  # fmt: skip
        axes.set_yticks([y + 0.19 for y in range(len(cases))], [f"{p}, {w} workers" for p, w in cases])
        axes.invert_yaxis()
        axes.axvline(1, color="grey", linestyle=":")
        axes.set_xscale("log")
        axes.set_xlabel("pictures a second, divided by ImageFolder's")
        axes.legend(frameon=False)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
