"""The page of the pipeline's benchmark: one HTML file that needs nothing beside it."""

import base64
import statistics
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.pages.page import fill, spread_in_words
from benchmarks.pages.plots import svg
from benchmarks.pipeline.measured import OURS, STAGES, WAYS, PipelineReport

TEMPLATE = Path(__file__).with_name("pipeline_page.html.jinja")


def render(report: PipelineReport) -> str:
    """Return the page of a run, also of one that has just begun."""
    return fill(
        TEMPLATE.read_text(encoding="utf-8"),
        report=report,
        rows=report.rows(),
        gains=report.gains(),
        stages=STAGES,
        ways=WAYS,
        spread=spread_in_words,
        plot=base64.b64encode(stages_plot(report).encode()).decode(),
    )


def stages_plot(report: PipelineReport) -> str:
    """Return the medians of the stages, stacked, for each load on our way, as SVG."""
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots()
    loads, left = report.loads, [0.0] * len(report.loads)
    for stage in STAGES:
        values = []
        for load in loads:
            found = [p.stages[stage].p50_ms for p in report.phases if (p.way, p.load) == (OURS, load)]
            values.append(statistics.median(found) if found else 0.0)
        axes.barh(loads, values, left=left, label=stage)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.set_xlabel("p50 of each stage, ms")
    axes.set_ylabel("clients, or requests/s")
    return svg(figure, axes)
