"""The run as one HTML file that needs nothing beside it."""

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from benchmarks.load.servers import OURS
from benchmarks.pages import plots
from benchmarks.pages.report import Report
from benchmarks.pages.summary import Spread

TEMPLATE = Path(__file__).with_name("page.html.jinja")


def render(report: Report) -> str:
    """Return the page of a run, also of one that has just begun."""
    summary = report.summary()
    return fill(
        TEMPLATE.read_text(encoding="utf-8"),
        report=report,
        summary=summary,
        ours=OURS,
        sha256=report.in_process[0].sha256 if report.in_process else "",
        spread=spread_in_words,
        our_generator_cores=next((c.generator_cores for c in summary.comparisons if c.server == OURS), None),
        plots=[(title, base64.b64encode(svg.encode()).decode()) for title, svg in _plots(report)],
        in_process=list(_in_process(report).items()),
    )


def fill(template: str, **values: Any) -> str:
    """Return a template of Jinja with its values filled in, escaped for HTML; one that is missing is an error."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(values)


def spread_in_words(spread: Spread | None, digits: int) -> str:
    """`median (low to high)`, a dash if nothing was measured, the median alone if there was one round."""
    if spread is None:
        return "–"
    median, low, high = (f"{value:.{digits}f}" for value in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"


def _plots(report: Report) -> list[tuple[str, str]]:
    if not any(turn.phases for turn in report.turns):
        return []
    limit = Spread.of([ceilings.limit_per_s for ceilings in report.in_process])
    return [
        ("Throughput over clients", plots.throughput(report.turns, limit.median if limit else 0)),
        ("Latency over clients", plots.latency(report.turns)),
        ("One client around a burst", plots.around_a_burst(report.turns)),
        ("Overload: goodput", plots.overload_goodput(report.turns)),
        ("Overload: latency", plots.overload_latency(report.turns, report.deadline_ms)),
        ("Large photographs", plots.large_photographs(report.turns)),
    ]


def _in_process(report: Report) -> dict[str, Spread | None]:
    names = report.in_process[0].rates if report.in_process else {}
    return {name: Spread.of([c.rates[name].median for c in report.in_process]) for name in names}
