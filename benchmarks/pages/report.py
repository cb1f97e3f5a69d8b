"""Everything that one run measured, as it goes into `serving.json`."""

import json
from dataclasses import asdict, dataclass, field

from benchmarks.load.turns import Plan, Turn
from benchmarks.machine import Machine
from benchmarks.pages.summary import Summary, summarise
from benchmarks.rates.ceilings import Ceilings


@dataclass
class Report:
    """Grows while the run goes on. skipped: server -> why it takes no part. shapes: sessions and threads of each."""

    machine: Machine
    bento: str
    model: str
    plan: Plan
    deadline_ms: float
    picture_bytes: dict[str, int]
    skipped: dict[str, str]
    shapes: dict[str, str]
    in_process: list[Ceilings] = field(default_factory=list)  # one a round
    turns: list[Turn] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    is_complete: bool = False

    def summary(self) -> Summary:
        shares = not self.machine.generator_has_own_core
        return summarise(self.turns, self.in_process, self.machine.server_cores, shares, self.deadline_ms)

    def to_json(self) -> str:
        return json.dumps({"summary": asdict(self.summary()), **asdict(self)}, indent=2) + "\n"
