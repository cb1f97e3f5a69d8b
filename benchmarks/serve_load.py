"""Our server and its peers under load, one run, taking turns: `make bench`, or

    python -m benchmarks.serve_load --bento vision:latest --quick

Writes `serving.json` after every turn and `serving.html` with it, so that a run that is broken off leaves what it has.
docs/BENCHMARKS.md says what is measured and how to read it.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks import machine
from benchmarks.load.served_bento import BenchmarkError, resolve
from benchmarks.load.server_process import ServerFailedError, free_port
from benchmarks.load.servers import OURS, Served, servers
from benchmarks.load.turns import FULL, QUICK, Ground, Plan, take_turn
from benchmarks.pages.page import render
from benchmarks.pages.report import Report
from benchmarks.rates.ceilings import ceilings_of
from benchmarks.workload import large_picture, small_picture
from project.command import command
from project.write_whole import write_whole
from runtime.model.contract import DEFAULT_MODEL
from runtime.serving.settings import ServingSettings, SettingsError

Progress = Any  # tqdm's bar, of whatever it would iterate over


@dataclass(frozen=True)
class Arena:
    """What stays the same over the run."""

    served: Served
    server_cores: set[int]
    generator_cores: set[int]
    small: bytes
    large: bytes
    names: list[str]  # of the servers that take part


def run(report: Report, arena: Arena, out_dir: Path) -> None:
    """Give every server its turns and write the report after each. Raises BenchmarkError if ours does not take part."""
    begin_s = time.monotonic()
    plan = report.plan
    round_s = 0.0
    total = plan.num_rounds * (1 + len(arena.names))
    progress: Progress
    with tqdm(total=total, desc="turns", disable=None) as progress:
        for number in range(plan.num_rounds):
            expected_s = round_s * plan.turn_s(number) / plan.turn_s(max(0, number - 1))
            if time.monotonic() - begin_s + expected_s > plan.budget_s:
                report.notes.append(f"{number} of {plan.num_rounds} rounds: a further one would not fit in the time")
                break
            round_begin_s = time.monotonic()
            _in_process(report, arena, progress)
            for name in _rotated(arena.names, number):
                _turn(report, arena, name, number, progress)
                report.wall_s = time.monotonic() - begin_s
                write(report, out_dir)
            round_s = time.monotonic() - round_begin_s
    report.is_complete = True
    write(report, out_dir)
    if broken := [turn.failure for turn in report.turns if turn.server == OURS and turn.failure]:
        raise BenchmarkError(f"{OURS} did not take part: {broken[0]}")


def write(report: Report, out_dir: Path) -> None:
    """Write `serving.json` and `serving.html`."""
    write_whole(out_dir / "serving.json", report.to_json())
    write_whole(out_dir / "serving.html", render(report))


def _rotated(names: list[str], number: int) -> list[str]:
    """Begin each round with another server, so that none is always measured on the same neighbour's leftovers."""
    start = number % len(names)
    return names[start:] + names[:start]


def _in_process(report: Report, arena: Arena, progress: Progress) -> None:
    progress.set_postfix_str("in process")
    try:
        found = ceilings_of(arena.served, arena.small, arena.server_cores, report.plan.in_process_rounds)
    except ServerFailedError as exc:
        raise BenchmarkError(str(exc)) from exc
    report.in_process.append(found)
    progress.update()
    tqdm.write(f"in process           {found.limit_per_s:6.0f} images/s at most", file=sys.stderr)


def _turn(report: Report, arena: Arena, name: str, number: int, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        port = free_port()
        server = next(s for s in servers(arena.served, port, Path(folder)) if s.name == name)
        expected = report.in_process[-1].probabilities
        cores = (arena.server_cores, arena.generator_cores)
        ground = Ground(Path(folder), port, *cores, arena.small, arena.large, expected)
        note = lambda what: progress.set_postfix_str(f"{name}: {what}")  # noqa: E731 - one line where it is used
        turn = take_turn(server, report.plan, ground, number, note)
    report.turns.append(turn)
    progress.update()
    capacity = turn.capacity_per_s
    result = f"failed: {turn.failure}" if turn.failure else f"{capacity or 0:6.0f} requests/s at 32 clients"
    tqdm.write(f"{name:<36} {result}", file=sys.stderr)


def prepare(bento: str, model: str, plan: Plan, wanted: list[str]) -> tuple[Report, Arena]:
    """Look at the machine, find the model, say who takes part. Raises BenchmarkError."""
    server_cores, generator_cores = machine.share_cores(os.sched_getaffinity(0))
    target, tag, model_dir = resolve(bento, model)
    served = Served(target, model_dir, sessions=len(server_cores), threads=1)
    everyone = servers(served, port=0, folder=Path())
    if unknown := set(wanted) - {server.name for server in everyone}:
        raise BenchmarkError(f"there is no server {sorted(unknown)}; there are {[s.name for s in everyone]}")
    chosen = [s for s in everyone if not wanted or s.name in (OURS, *wanted)]
    small, large = small_picture(), large_picture()
    report = Report(
        machine=machine.describe(server_cores, generator_cores),
        bento=target if not Path(target).is_dir() else "the project's folder",
        model=tag,
        plan=plan,
        deadline_ms=float(ServingSettings.read().deadline_ms),
        picture_bytes={"small": len(small), "large": len(large)},
        skipped={s.name: s.missing for s in chosen if s.missing},
        shapes={s.name: s.shape for s in chosen},
    )
    names = [s.name for s in chosen if not s.missing]
    return report, Arena(served, server_cores, generator_cores, small, large, names)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bento", default="vision:latest", help="a Bento's tag, or the project's folder")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="what the project's folder serves")
    parser.add_argument("--quick", action="store_true", help="about two minutes instead of twenty")
    parser.add_argument("--server", action="append", default=[], help="a peer to compare with; else all (repeatable)")
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks"), help="folder of the report")


@command(_arguments, known=(BenchmarkError, SettingsError, OSError), speaker="benchmark")
def main(args: argparse.Namespace) -> None:
    report, arena = prepare(args.bento, args.model, QUICK if args.quick else FULL, args.server)
    for name, reason in report.skipped.items():
        sys.stderr.write(f"skipped: {name}: {reason}\n")
    run(report, arena, args.out)
    for criterion in report.summary().criteria:
        value = f"{criterion.value.median:.2f}" if criterion.value else "not measured"
        sys.stdout.write(f"{value:>12}  {criterion.text}\n")
    sys.stdout.write(f"report: {args.out / 'serving.html'}\n")


if __name__ == "__main__":
    sys.exit(main())
