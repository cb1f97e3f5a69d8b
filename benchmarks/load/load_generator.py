"""The load: a process of its own that sends one request over and over and says what came back.

    python -m benchmarks.load.load_generator load.json

`load.json` is a `Load`; the result, a `LoadResult`, is printed as JSON. Only the standard library is loaded, and the
process measures its own CPU time, because it may share cores with the server.

Two kinds. Closed loop: each of N clients sends when its last answer is there; that finds capacity, and it hides
waiting, because a slow server is asked less often. Open loop: requests are due at times drawn beforehand, whatever the
server does, and latency counts from the time a request was due and not from when it could be sent; so a server or a
generator that falls behind is charged for it (no "coordinated omission"; Tene, "How NOT to Measure Latency", 2013).
"""

import argparse
import asyncio
import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.load.http_client import Connection, ConnectionLostError
from benchmarks.load.load import Load, LoadError, LoadResult
from project.command import command

TIMEOUT, LOST = "timeout", "connection lost"  # in `LoadResult.answers` beside HTTP statuses
RETRY_PAUSE_S = 0.02  # after a lost connection, so that a dead server is not asked in a tight loop
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Sample:
    """One request on the generator's clock, in seconds. outcome: a status, `TIMEOUT` or `LOST`."""

    due_s: float
    sent_s: float
    done_s: float
    outcome: str


def run(load: Load) -> LoadResult:
    """Make a load; takes little more than `ramp_s + duration_s + timeout_s` at most. Raises OSError without a file."""
    request = Path(load.request_path).read_bytes()
    gc.collect()
    gc.disable()  # a collection would show as latency
    try:
        return asyncio.run(_Run(load, request).measure())
    finally:
        gc.enable()


class _Run:
    def __init__(self, load: Load, request: bytes) -> None:
        self.load = load
        self.request = request
        self.samples: list[Sample] = []
        self.idle: list[Connection] = []

    async def measure(self) -> LoadResult:
        start_s = time.perf_counter() + 0.01
        cpu = asyncio.create_task(self._cpu_of_window_s(start_s + self.load.ramp_s))
        await (self._closed_loop(start_s) if self.load.num_clients else self._open_loop(start_s))
        cpu_s = await cpu
        for connection in self.idle:
            connection.close()
        return summarise(self.samples, start_s + self.load.ramp_s, self.load.duration_s, cpu_s)

    async def _cpu_of_window_s(self, window_start_s: float) -> float:
        await _sleep_until(window_start_s)
        before = time.process_time()
        await _sleep_until(window_start_s + self.load.duration_s)
        return time.process_time() - before

    async def _closed_loop(self, start_s: float) -> None:
        end_s = start_s + self.load.ramp_s + self.load.duration_s
        await asyncio.gather(*(self._client(start_s, end_s) for _ in range(self.load.num_clients)))

    async def _client(self, start_s: float, end_s: float) -> None:
        await _sleep_until(start_s)
        while (now := time.perf_counter()) < end_s:
            if await self._send(now) == LOST:
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _open_loop(self, start_s: float) -> None:
        allowed = asyncio.Semaphore(self.load.max_connections)
        tasks = []
        for due_s in due_times(self.load):
            await _sleep_until(start_s + due_s)
            tasks.append(asyncio.create_task(self._send(start_s + due_s, allowed)))
        await asyncio.gather(*tasks)

    async def _send(self, due_s: float, allowed: asyncio.Semaphore | None = None) -> str:
        """Send one request and note what became of it; the timeout counts from here."""
        sent_s = time.perf_counter()
        try:
            async with asyncio.timeout(self.load.timeout_s):
                if allowed is None:
                    outcome = await self._exchange()
                else:
                    async with allowed:
                        sent_s = time.perf_counter()
                        outcome = await self._exchange()
        except TimeoutError:
            outcome = TIMEOUT
        except (ConnectionLostError, OSError):
            outcome = LOST
        self.samples.append(Sample(due_s, sent_s, time.perf_counter(), outcome))
        return outcome

    async def _exchange(self) -> str:
        connection = self._take_idle() or await Connection.open(self.load.host, self.load.port)
        response = await connection.exchange(self.request)
        if connection.is_open:
            self.idle.append(connection)
        return str(response.status)

    def _take_idle(self) -> Connection | None:
        while self.idle:
            connection = self.idle.pop()
            if connection.is_open:
                return connection
        return None


def due_times(load: Load) -> list[float]:
    """Return when requests of an open loop are due, in seconds from its start; the same for the same seed."""
    draw = random.Random(load.seed)  # noqa: S311 - arrival times, not secrets
    end_s = load.ramp_s + load.duration_s
    times = []
    due_s = 0.0
    while due_s < end_s:
        times.append(due_s)
        due_s += draw.expovariate(load.rate_per_s) if load.arrivals == "poisson" else 1 / load.rate_per_s
    return times


async def _sleep_until(time_s: float) -> None:
    # Also when late: the loop must get its turn between two sends.
    await asyncio.sleep(max(0.0, time_s - time.perf_counter()))


def summarise(samples: Sequence[Sample], window_start_s: float, window_s: float, cpu_s: float) -> LoadResult:
    """Count what fell into the window."""
    end_s = window_start_s + window_s
    due = [sample for sample in samples if window_start_s <= sample.due_s < end_s]
    answered = [s for s in samples if window_start_s <= s.done_s < end_s and s.outcome not in (TIMEOUT, LOST)]
    latencies = sorted((s.done_s - s.due_s) * 1e3 for s in due if _is_good(s))
    num_unanswered = sum(sample.outcome in (TIMEOUT, LOST) for sample in samples)
    lags = sorted((s.sent_s - s.due_s) * 1e3 for s in due)
    return LoadResult(
        offered_per_s=len(due) / window_s,
        answered_per_s=len(answered) / window_s,
        goodput_per_s=sum(map(_is_good, answered)) / window_s,
        answers=dict(Counter(sample.outcome for sample in due)),
        latency_ms={f"p{p}": percentile(latencies, p) for p in PERCENTILES} | {"max": latencies[-1]}
        if latencies
        else None,
        num_answered=len(samples) - num_unanswered,
        num_unanswered=num_unanswered,
        send_lag_p99_ms=percentile(lags, 99) if lags else 0.0,
        generator_cores=cpu_s / window_s,
    )


def _is_good(sample: Sample) -> bool:
    return sample.outcome.startswith("2")


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of all values do not exceed (nearest rank)."""
    rank = -(-len(ascending) * percent // 100)
    return ascending[max(0, int(rank) - 1)]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("load", type=Path, help="a JSON file with the fields of Load")


@command(_arguments, known=(LoadError,), speaker="load generator")
def main(arguments: argparse.Namespace) -> None:
    try:
        result = run(Load(**json.loads(arguments.load.read_text(encoding="utf-8"))))
    except (LoadError, OSError, TypeError, json.JSONDecodeError) as exc:
        raise LoadError(f"cannot use {arguments.load}: {exc}") from exc
    sys.stdout.write(json.dumps(asdict(result)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
