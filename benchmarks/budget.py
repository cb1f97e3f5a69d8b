"""Which stage of the pipeline misses its budget first, and what would mend it:

    python -m benchmarks.budget --p95-ms 200 --rate 20

Simulates the pipeline with the costs that `make bench-pipeline` measured (`benchmarks/pipeline/simulation.py` says
how), at the rate, and with more cores, larger batches, a smaller input and int8. The target is shared out among the
stages by what each costs a lone request; the first to miss its share is found by raising the rate in ten steps.
docs/BENCHMARKS.md says how far the simulation is to be trusted.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.load import percentile
from benchmarks.pipeline.measured import OPEN_RATE_PER_S, OURS, STAGES, Costs, PipelineReport, ReportError, Shape
from benchmarks.pipeline.simulation import simulate
from benchmarks.pipeline.turn import OPEN
from project.command import command
from project.write_whole import write_whole

SMALLER_SIDE = 0.75  # of the detector's input, with which its convolutions shrink by the square
INT8_GAIN = 1.5  # of both models: assumed, not measured
LARGE_BATCH = 16
LEAST_SHARE = 0.05  # of a lone request's cost, for a stage's budget
KEPT_UP = 0.9  # share of answered requests below which the queue grew: p95 then says how long was measured
NUM_REQUESTS = 2000
NUM_STEPS = 10
_ENDLESS_MS = 10_000.0  # beyond it the queue has grown as long as the simulation lasted
_ALONE_PER_S = 0.001  # nobody meets anybody


class BudgetError(ValueError):
    """A budget that cannot be judged; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """What a rate does to the pipeline, in milliseconds. stages_ms: p95 of each, with the wait for it."""

    p95_ms: float
    stages_ms: dict[str, float]


def outcome_of(costs: Costs, shape: Shape, rate_per_s: float, num_requests: int = NUM_REQUESTS) -> Outcome:
    """Simulate and take p95."""
    found = simulate(costs, shape, rate_per_s, num_requests)
    stages = {stage: percentile(sorted(values), 95) for stage, values in found.stages_ms.items()}
    return Outcome(percentile(sorted(found.total_ms), 95), stages)


def budgets_ms(costs: Costs, shape: Shape, p95_ms: float) -> dict[str, float]:
    """Share a target out among the stages, by what each costs a request that meets nobody.

    One that costs less than `LEAST_SHARE` of it counts as that much: any wait would be many times so little.
    """
    alone = simulate(costs, shape, _ALONE_PER_S, 400)
    means = {stage: statistics.mean(values) for stage, values in alone.stages_ms.items()}
    least = LEAST_SHARE * sum(means.values())
    shares = {stage: max(mean, least) for stage, mean in means.items()}
    return {stage: p95_ms * share / sum(shares.values()) for stage, share in shares.items()}


@dataclass(frozen=True)
class Miss:
    """The stage that is most beyond its budget, or nearest to it, how many times its budget it takes, and when."""

    stage: str
    times_its_budget: float
    at_rate_per_s: float


def first_to_miss(costs: Costs, shape: Shape, budgets: dict[str, float], rate_per_s: float) -> Miss:
    """Raise the rate in ten steps until a stage's p95 is beyond its budget; at the last step the nearest counts."""
    steps = [rate_per_s * step / NUM_STEPS for step in range(1, NUM_STEPS + 1)]
    for rate in steps:
        outcome = outcome_of(costs, shape, rate)
        used = {stage: outcome.stages_ms[stage] / budgets[stage] for stage in STAGES}
        first = max(used, key=lambda stage: used[stage])
        if used[first] > 1:
            break
    return Miss(first, used[first], rate)


def remedies(costs: Costs, shape: Shape) -> Iterator[tuple[str, tuple[Costs, Shape]]]:
    """Yield what might mend it, in words, with what it makes of costs and deployment."""
    double = {"cores": 2 * shape.cores, "sessions": 2 * shape.sessions, "decode_threads": 2 * shape.decode_threads}
    settings = f"VISION_SESSIONS={double['sessions']} and VISION_DECODE_THREADS={double['decode_threads']}"
    yield f"{double['cores']} cores, with {settings}", (costs, shape.model_copy(update=double))
    yield f"VISION_MAX_BATCH_IMAGES={LARGE_BATCH}", (costs, shape.model_copy(update={"max_batch_images": LARGE_BATCH}))
    smaller = costs.model_copy(update={"detect_ms": costs.detect_ms * SMALLER_SIDE**2})
    yield f"a detector's input of {SMALLER_SIDE:g} times the side", (smaller, shape)
    int8 = {"detect_ms": costs.detect_ms / INT8_GAIN, "classify_ms": costs.classify_ms / INT8_GAIN}
    yield f"int8, if it is {INT8_GAIN:g} times as fast", (costs.model_copy(update=int8), shape)


def check_of(report: PipelineReport, costs: Costs) -> dict[str, float | None]:
    """Return p95 at the rate of the run's open loop: as simulated, the median of what was measured, and their ratio.

    kept_up: whether the server answered nearly all that came; else the measured figure says only that it did not.
    """
    mine = [phase for phase in report.phases if (phase.way, phase.load) == (OURS, OPEN) and phase.offered_per_s]
    measured = [phase.p95_ms for phase in mine if phase.p95_ms is not None]
    predicted = outcome_of(costs, report.shape, OPEN_RATE_PER_S).p95_ms
    median = statistics.median(measured) if measured else None
    answered = statistics.median(phase.goodput_per_s / phase.offered_per_s for phase in mine) if mine else 0.0
    return {
        "rate_per_s": OPEN_RATE_PER_S, "predicted_p95_ms": predicted, "measured_p95_ms": median,
        "measured_low_ms": min(measured, default=None), "measured_high_ms": max(measured, default=None),
        "predicted_by_measured": predicted / median if median else None,
        "kept_up": answered >= KEPT_UP,
    }  # fmt: skip


def judge(report: PipelineReport, p95_ms: float, rate_per_s: float) -> dict[str, Any]:
    """Return the whole judgement, ready for JSON. Raises BudgetError for a report without costs."""
    costs, shape = report.costs, report.shape
    if costs is None:
        raise BudgetError("the report ends before the first round: run `make bench-pipeline` again")
    outcome, budgets = outcome_of(costs, shape, rate_per_s), budgets_ms(costs, shape, p95_ms)
    mended = [(words, outcome_of(*changed, rate_per_s).p95_ms) for words, changed in remedies(costs, shape)]
    return {
        "target": {"p95_ms": p95_ms, "rate_per_s": rate_per_s},
        "machine": report.machine.processor,
        "shape": shape.model_dump(),
        "p95_ms": outcome.p95_ms,
        "holds": outcome.p95_ms <= p95_ms,
        "stages": {stage: {"p95_ms": outcome.stages_ms[stage], "budget_ms": budgets[stage]} for stage in STAGES},
        "first": asdict(first_to_miss(costs, shape, budgets, rate_per_s)),
        "remedies": [{"what": words, "p95_ms": ms, "holds": ms <= p95_ms} for words, ms in mended],
        "check": check_of(report, costs),
    }


def in_words(judged: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a judgement."""
    target, first, check = judged["target"], judged["first"], judged["check"]
    verdict = "holds" if judged["holds"] else "does not hold"
    asked = f"p95 of {target['p95_ms']:g} ms at {target['rate_per_s']:g} requests/s"
    yield f"{asked} {verdict}: {_shown(judged['p95_ms'])}\n"
    for stage, found in judged["stages"].items():
        yield f"  {stage}: p95 {_shown(found['p95_ms'])} of {found['budget_ms']:.1f} ms\n"
    missed = "misses its budget first" if first["times_its_budget"] > 1 else "is nearest to its budget"
    times, rate = first["times_its_budget"], first["at_rate_per_s"]
    yield f"{first['stage']} {missed}: {times:.2f} times it at {rate:g} requests/s\n"
    for remedy in judged["remedies"]:
        yield f"  {remedy['what']}: {_shown(remedy['p95_ms'])}, {'holds' if remedy['holds'] else 'does not hold'}\n"
    if check["measured_p95_ms"]:
        measured = "{measured_p95_ms:.0f} ms measured ({measured_low_ms:.0f} to {measured_high_ms:.0f})".format(**check)
        yield (
            f"checked at {check['rate_per_s']:g} requests/s: p95 {_shown(check['predicted_p95_ms'])} simulated, "
            f"{measured}: {check['predicted_by_measured']:.2f} times\n"
        )
        if not check["kept_up"]:
            yield "the server did not keep up with that rate, so this checks nothing: measure on an idle machine\n"


def _shown(ms: float) -> str:
    return f"{ms:.1f} ms" if ms <= _ENDLESS_MS else "no end, as more comes than is done"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--p95-ms", type=float, required=True, help="latency that 95 of 100 requests may take")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--report", type=Path, default=Path("artifacts/benchmarks/pipeline.json"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks/budget.json"))


@command(_arguments, known=(BudgetError, ReportError, OSError), speaker="benchmark")
def main(args: argparse.Namespace) -> int:
    if not (args.p95_ms > 0 and args.rate > 0):
        raise BudgetError(f"--p95-ms and --rate must be positive, got {args.p95_ms:g} and {args.rate:g}")
    judged = judge(PipelineReport.read(args.report), args.p95_ms, args.rate)
    sys.stdout.write("".join(in_words(judged)))
    write_whole(args.out, json.dumps(judged, indent=2) + "\n")
    return 0 if judged["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
