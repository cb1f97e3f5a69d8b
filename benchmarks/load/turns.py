"""One server's turn: started, checked to answer rightly, put under each kind of load, ended."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.load.load import Load, LoadResult
from benchmarks.load.server_process import ServerFailedError, ServerProcess, pinned, running, wait_until_ready
from benchmarks.load.servers import NO_TELEMETRY, PROJECT_DIR, Server
from benchmarks.workload import http_request

HOST = "127.0.0.1"
BURST_CLIENTS = 32  # also where servers are compared
SETTLE_S = 2.0  # between a burst and the single client after it
WARM_UP_S = 0.7
TIMEOUT_S = 10.0
MAX_PROBABILITY_DIFFERENCE = 1e-3  # between servers; they run one ONNX file with one runtime
Kind = Literal["before", "sweep", "after", "large", "overload"]


@dataclass(frozen=True)
class Plan:
    """How much is measured. Every round gives each server one turn."""

    num_rounds: int
    num_overload_rounds: int  # the first ones
    clients: tuple[int, ...]  # of the sweep, beside 1 and `BURST_CLIENTS`
    window_s: float
    burst_window_s: float  # at `BURST_CLIENTS`, where a batch is a good part of what is counted
    ramp_s: float
    overload_ramp_s: float  # until the queue is as full as it gets: filling it is decoding that is answered for later
    overload_window_s: float
    factors: tuple[float, ...]  # of the capacity, for the open loop
    large_clients: int
    in_process_rounds: int
    budget_s: float  # no further round is begun that would not end within it

    def turn_s(self, round_number: int) -> float:
        """How long a turn of a round takes at the least, without starting, draining and stopping."""
        num_loads = 3 + len(self.clients)  # before, after and large beside the sweep
        burst_s = self.ramp_s + self.burst_window_s
        overload_s = len(self.factors) * (self.overload_ramp_s + self.overload_window_s)
        if round_number >= self.num_overload_rounds:
            overload_s = 0.0
        return num_loads * (self.ramp_s + self.window_s) + burst_s + overload_s + SETTLE_S + WARM_UP_S


QUICK = Plan(
    num_rounds=1, num_overload_rounds=1, clients=(8,), window_s=0.8, burst_window_s=1.5, ramp_s=0.2,
    overload_ramp_s=1.5, overload_window_s=1.5, factors=(2.0,), large_clients=2, in_process_rounds=2, budget_s=150.0,
)  # fmt: skip
FULL = Plan(
    num_rounds=3, num_overload_rounds=2, clients=(2, 4, 8, 16, 64), window_s=1.5, burst_window_s=3.0, ramp_s=0.3,
    overload_ramp_s=2.0, overload_window_s=3.0, factors=(0.5, 1.0, 2.0, 3.0), large_clients=4, in_process_rounds=4,
    budget_s=1200.0,
)  # fmt: skip


@dataclass(frozen=True)
class Phase:
    """One load. level: clients, or the factor of the capacity. server_cpu_ms: of one answer, over all processes."""

    kind: Kind
    level: float
    result: LoadResult
    server_cpu_ms: float | None


@dataclass(frozen=True)
class Turn:
    """What one server did in one round. failure: why it ended early, empty if it did not."""

    server: str
    round: int
    start_s: float = 0.0
    phases: list[Phase] = field(default_factory=list)
    failure: str = ""

    def find(self, kind: Kind, level: float) -> LoadResult | None:
        return next((p.result for p in self.phases if (p.kind, p.level) == (kind, level)), None)

    @property
    def capacity_per_s(self) -> float | None:
        at_burst = self.find("sweep", BURST_CLIENTS)
        return at_burst.goodput_per_s if at_burst else None


@dataclass(frozen=True)
class Ground:
    """Where a turn takes place. expected: the probabilities that every server must answer to `small`."""

    folder: Path
    port: int
    server_cores: set[int]
    generator_cores: set[int]
    small: bytes
    large: bytes
    expected: Mapping[str, float]


def take_turn(server: Server, plan: Plan, ground: Ground, round_number: int, note: Callable[[str], None]) -> Turn:
    """Run every load of the plan against one server; a server that fails gives a turn that says so."""
    turn = Turn(server.name, round_number)
    begin_s = time.monotonic()
    probe = http_request(ground.small, server.form, HOST, ground.port)
    try:
        with running(server.command, ground.folder, server.environment, ground.server_cores) as process:
            note("starting")
            check_answer(wait_until_ready(process, ground.port, probe), ground.expected)
            turn = replace(turn, start_s=time.monotonic() - begin_s)
            _Loader(server, process, plan, ground, turn.phases, note).run(round_number < plan.num_overload_rounds)
    except ServerFailedError as exc:
        turn = replace(turn, failure=str(exc))
    return turn


class _Loader:
    def __init__(
        self,
        server: Server,
        process: ServerProcess,
        plan: Plan,
        ground: Ground,
        phases: list[Phase],
        note: Callable[[str], None],
    ) -> None:
        self.process, self.plan, self.ground, self.phases, self.note = process, plan, ground, phases, note
        self.small_path, self.large_path = ground.folder / "small.http", ground.folder / "large.http"
        self.small_path.write_bytes(http_request(ground.small, server.form, HOST, ground.port))
        self.large_path.write_bytes(http_request(ground.large, server.form, HOST, ground.port))

    def run(self, with_overload: bool) -> None:
        self._generate(Load(HOST, self.ground.port, str(self.small_path), WARM_UP_S, 0.0, TIMEOUT_S, num_clients=1))
        self._closed("before", 1)
        for num_clients in (*self.plan.clients, BURST_CLIENTS):  # the burst last: what comes after it looks back on it
            self._closed("sweep", num_clients)
        time.sleep(SETTLE_S)
        self._closed("after", 1)
        self._closed("large", self.plan.large_clients)
        if with_overload:
            capacity = next(
                p.result.goodput_per_s for p in self.phases if (p.kind, p.level) == ("sweep", BURST_CLIENTS)
            )
            for factor in self.plan.factors:
                self._overload(factor, capacity)

    def _closed(self, kind: Kind, num_clients: int) -> None:
        path = self.large_path if kind == "large" else self.small_path
        window_s = self.plan.burst_window_s if num_clients == BURST_CLIENTS else self.plan.window_s
        self._measure(kind, num_clients, replace(self._load(path), num_clients=num_clients, duration_s=window_s))

    def _overload(self, factor: float, capacity_per_s: float) -> None:
        if capacity_per_s <= 0:
            raise ServerFailedError(
                f"it answered nothing to {BURST_CLIENTS} clients; its log:\n{self.process.log_tail()}"
            )
        rate_per_s, plan = factor * capacity_per_s, self.plan
        load = replace(self._load(self.small_path), num_clients=0, rate_per_s=rate_per_s)
        self._measure("overload", factor, replace(load, ramp_s=plan.overload_ramp_s, duration_s=plan.overload_window_s))

    def _load(self, path: Path) -> Load:
        plan = self.plan
        return Load(HOST, self.ground.port, str(path), plan.window_s, plan.ramp_s, TIMEOUT_S, num_clients=1)

    def _measure(self, kind: Kind, level: float, load: Load) -> None:
        self.note(f"{kind} {level:g}")
        before_s = self.process.cpu_s()
        result = self._generate(load)
        spent_s = self.process.cpu_s() - before_s
        self.phases.append(
            Phase(kind, level, result, 1e3 * spent_s / result.num_answered if result.num_answered else None)
        )

    def _generate(self, load: Load) -> LoadResult:
        """Run the generator in a process of its own. Raises ServerFailedError if the server is gone."""
        if self.process.process.poll() is not None:
            raise ServerFailedError(f"it ended while it was measured; the end of its log:\n{self.process.log_tail()}")
        path = self.ground.folder / "load.json"
        path.write_text(json.dumps(asdict(load)), encoding="utf-8")
        return LoadResult(**run_module("benchmarks.load.load_generator", [str(path)], self.ground.generator_cores))


def run_module(module: str, arguments: list[str], cores: set[int]) -> dict[str, Any]:
    """Run `python -m module` of this project on `cores`; returns the JSON it prints. Raises ServerFailedError."""
    environment = {**os.environ, **NO_TELEMETRY, "PYTHONPATH": str(PROJECT_DIR)}
    command = [sys.executable, "-m", module, *arguments]
    with pinned(cores):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerFailedError(f"{module} ended with code {done.returncode}: {done.stderr.strip()[-2000:]}")
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


def check_answer(http_answer: bytes, expected: Mapping[str, float]) -> None:
    """Raise ServerFailedError unless the answer holds the expected probabilities: the peers do the same work."""
    body = http_answer.partition(b"\r\n\r\n")[2]
    try:
        # A server that sends chunks gives lengths around its one line of JSON.
        lines = [line for line in body.decode().splitlines() if line.startswith(("[", "{"))]
        answered = find_probabilities(json.loads(lines[0]))
    except (ValueError, IndexError) as exc:
        raise ServerFailedError(f"expected JSON, got {body[:200]!r}") from exc
    if answered is None or set(answered) != set(expected):
        raise ServerFailedError(f"expected probabilities of {sorted(expected)}, got {body[:300]!r}")
    furthest = max(abs(answered[name] - expected[name]) for name in expected)
    if furthest > MAX_PROBABILITY_DIFFERENCE:
        raise ServerFailedError(f"its probabilities differ by {furthest:.4f} from the model's own: {answered}")


def find_probabilities(answer: object) -> dict[str, float] | None:
    """Find `probabilities` of the first picture, at any depth; a string may hold JSON."""
    if isinstance(answer, str) and answer.startswith("{"):
        return find_probabilities(json.loads(answer))
    if isinstance(answer, dict):
        own = answer.get("probabilities")
        return own if isinstance(own, dict) else find_probabilities(list(answer.values()))
    found = map(find_probabilities, answer) if isinstance(answer, list) else iter(())
    return next((item for item in found if item is not None), None)
