"""One process against front workers with an inference worker, taking turns in one run:

    python -m benchmarks.shapes --bento vision:latest --fronts 2

Writes `shapes.json` and prints the table of docs/SHAPES.md. Ratios are of turns of one round only: the machine may have
been another in the meantime. A round gives each shape one turn, which starts the server anew; the order alternates.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks import machine
from benchmarks.load.served_bento import BenchmarkError, resolve
from benchmarks.load.server_process import ServerFailedError, free_port
from benchmarks.load.servers import OURS, Served, Server, servers
from benchmarks.load.turns import BURST_CLIENTS, Ground, Kind, Plan, Turn, take_turn
from benchmarks.pages.summary import Spread
from benchmarks.rates.ceilings import ceilings_of
from benchmarks.workload import large_picture, small_picture
from project.command import command
from project.write_whole import write_whole
from runtime.model.contract import DEFAULT_MODEL

PLAN = Plan(
    num_rounds=3, num_overload_rounds=0, clients=(), window_s=1.5, burst_window_s=2.5, ramp_s=0.3, overload_ramp_s=0.0,
    overload_window_s=0.0, factors=(), large_clients=4, in_process_rounds=1, budget_s=600.0,
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One figure of both shapes, medians over rounds, and of fronts to one process, round by round."""

    what: str
    single: Spread | None
    fronts: Spread | None
    ratio: Spread | None


@dataclass
class ShapesReport:
    machine: machine.Machine
    model: str
    num_fronts: int
    plan: Plan
    turns: list[Turn] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, str]:
        return "one process", f"{self.num_fronts} fronts and an inference worker"

    def rows(self) -> list[Row]:
        """Raises BenchmarkError if a server failed."""
        if failures := [f"{turn.server}: {turn.failure}" for turn in self.turns if turn.failure]:
            raise BenchmarkError(failures[0])
        return [
            self._row("1 client, p50 in ms", lambda turn: _p50_ms(turn, "before", 1)),
            self._row(f"{BURST_CLIENTS} clients, requests/s", lambda turn: turn.capacity_per_s),
            self._row(f"{BURST_CLIENTS} clients, server CPU ms a request", _cpu_ms),
            self._row("1 client after that burst, p50 in ms", lambda turn: _p50_ms(turn, "after", 1)),
            self._row(
                f"{self.plan.large_clients} clients, 12-megapixel photographs, requests/s",
                lambda turn: _goodput(turn, "large", self.plan.large_clients),
            ),
        ]

    def _row(self, what: str, read: Callable[[Turn], float | None]) -> Row:
        by_name = {name: {t.round: read(t) for t in self.turns if t.server == name} for name in self.names}
        values = [{number: v for number, v in by_name[name].items() if v} for name in self.names]
        both = sorted(values[0].keys() & values[1].keys())
        ratios = [values[1][number] / values[0][number] for number in both]
        single, fronts = (Spread.of(list(v.values())) for v in values)
        return Row(what, single, fronts, Spread.of(ratios))


def _p50_ms(turn: Turn, kind: Kind, level: float) -> float | None:
    found = turn.find(kind, level)
    return found.latency_ms["p50"] if found and found.latency_ms else None


def _goodput(turn: Turn, kind: Kind, level: float) -> float | None:
    found = turn.find(kind, level)
    return found.goodput_per_s if found else None


def _cpu_ms(turn: Turn) -> float | None:
    return next((p.server_cpu_ms for p in turn.phases if (p.kind, p.level) == ("sweep", BURST_CLIENTS)), None)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown: medians, and the ratio with its least and greatest value."""
    lines = ["| | one process | fronts | fronts : one process |", "|---|---|---|---|"]
    for row in rows:
        cells = [f"{spread.median:.1f}" if spread else "-" for spread in (row.single, row.fronts)]
        ratio = f"{row.ratio.median:.2f} ({row.ratio.low:.2f} to {row.ratio.high:.2f})" if row.ratio else "-"
        lines.append(f"| {row.what} | {cells[0]} | {cells[1]} | {ratio} |")
    return "\n".join(lines) + "\n"


def measure(report: ShapesReport, served: Served, cores: tuple[set[int], set[int]], expected: dict[str, float]) -> None:
    """Give each shape a turn in each round."""
    small, large = small_picture(), large_picture()
    progress: Any  # tqdm's bar
    with tqdm(total=2 * report.plan.num_rounds, desc="turns", disable=None) as progress:
        for number in range(report.plan.num_rounds):
            for name in report.names if number % 2 == 0 else reversed(report.names):
                progress.set_postfix_str(name)
                fronts = 0 if name == report.names[0] else report.num_fronts
                with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
                    port = free_port()
                    server = _server(served, port, Path(folder), name, fronts)
                    ground = Ground(Path(folder), port, *cores, small, large, expected)
                    report.turns.append(take_turn(server, report.plan, ground, number, lambda _what: None))
                progress.update()


def _server(served: Served, port: int, folder: Path, name: str, num_fronts: int) -> Server:
    ours = next(server for server in servers(served, port, folder) if server.name == OURS)
    environment = ours.environment | {"VISION_FRONT_WORKERS": str(num_fronts)}
    return Server(name, ours.shape, ours.command, environment, ours.form, None)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bento", default="vision:latest", help="a Bento's tag, or the project's folder")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="what the project's folder serves")
    parser.add_argument("--fronts", type=int, default=2, help="VISION_FRONT_WORKERS of the second shape")
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks"), help="folder of the report")


@command(_arguments, known=(BenchmarkError, ServerFailedError, OSError), speaker="benchmark")
def main(args: argparse.Namespace) -> None:
    cores = machine.share_cores(os.sched_getaffinity(0))
    target, tag, model_dir = resolve(args.bento, args.model)
    served = Served(target, model_dir, sessions=len(cores[0]), threads=1)
    report = ShapesReport(machine.describe(*cores), tag, args.fronts, PLAN)
    one_session = replace(served, sessions=1)  # of what it answers, nothing of its speed, is wanted here
    expected = ceilings_of(one_session, small_picture(), cores[0], num_rounds=1).probabilities
    measure(report, served, cores, expected)
    rows = report.rows()
    document = {"rows": [asdict(row) for row in rows], **asdict(report)}
    write_whole(args.out / "shapes.json", json.dumps(document, indent=2) + "\n")
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    sys.exit(main())
