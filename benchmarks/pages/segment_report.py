"""What outlines under load measured, and its page."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.machine import Machine
from benchmarks.pages.page import fill, spread_in_words
from benchmarks.pages.summary import Spread

NAIVE = "one picture at a time"
STAGES = ("decode", "inference", "encode")
TEMPLATE = Path(__file__).with_name("segment_page.html.jinja")


@dataclass(frozen=True)
class Phase:
    """One load on one server. picture: `small` or `large`. stages_ms: medians of the answered requests."""

    server: str
    round: int
    picture: str
    num_clients: int
    goodput_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    server_cpu_ms: float | None
    stages_ms: dict[str, float]


@dataclass
class SegmentReport:
    """What one run measured."""

    machine: Machine
    bento: str
    model: str
    picture_bytes: dict[str, int]
    phases: list[Phase] = field(default_factory=list)

    def rows(self) -> list[dict[str, object]]:
        """Return one row for each picture, number of clients and server: spreads over the rounds."""
        keys = dict.fromkeys((p.picture, p.num_clients, p.server) for p in self.phases)
        return [self._row(*key) for key in keys]

    def _row(self, picture: str, num_clients: int, server: str) -> dict[str, object]:
        mine = [p for p in self.phases if (p.picture, p.num_clients, p.server) == (picture, num_clients, server)]
        naive = {
            p.round: p for p in self.phases if (p.picture, p.num_clients, p.server) == (picture, num_clients, NAIVE)
        }
        pairs = [(p, naive[p.round]) for p in mine if p.round in naive and naive[p.round].goodput_per_s]
        return {
            "picture": picture, "clients": num_clients, "server": server,
            "goodput_per_s": Spread.of([p.goodput_per_s for p in mine]),
            "divided_by_naive": Spread.of([p.goodput_per_s / other.goodput_per_s for p, other in pairs]),
            "p50_ms": Spread.of([p.p50_ms for p in mine if p.p50_ms is not None]),
            "p99_ms": Spread.of([p.p99_ms for p in mine if p.p99_ms is not None]),
            "server_cpu_ms": Spread.of([p.server_cpu_ms for p in mine if p.server_cpu_ms is not None]),
            **{s: Spread.of([p.stages_ms[s] for p in mine if s in p.stages_ms]) for s in STAGES},
        }  # fmt: skip

    def to_json(self) -> str:
        rows = [
            {name: asdict(value) if isinstance(value, Spread) else value for name, value in row.items()}
            for row in self.rows()
        ]
        return json.dumps({"rows": rows, **asdict(self)}, indent=2) + "\n"


def render(report: SegmentReport) -> str:
    """Return the page of a run, also of one that has just begun; it needs nothing beside it."""
    template = TEMPLATE.read_text(encoding="utf-8")
    return fill(template, report=report, rows=report.rows(), stages=STAGES, spread=spread_in_words)
