"""One way of batching crops, served and put under each load of the pipeline's benchmark."""

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.load.load import Load, LoadResult
from benchmarks.load.segment_turn import generate, requests_of, serve_bento
from benchmarks.load.server_process import ServerFailedError, ServerProcess, free_port, running, wait_until_ready
from benchmarks.load.servers import NO_TELEMETRY, PROJECT_DIR
from benchmarks.load.turns import HOST, TIMEOUT_S, WARM_UP_S
from benchmarks.pipeline.measured import OPEN_RATE_PER_S, STAGES, Phase, Shape, stage_times
from benchmarks.workload import Form, http_request

DETECT_PATH = "/detect"
OPEN = f"{OPEN_RATE_PER_S:g}/s"
RAMP_S = 0.5
Lines = list[dict[str, float]]


@dataclass(frozen=True)
class Served:
    """What is served: what `bentoml serve` is given, the models' tags, their store's home, and where they lie."""

    target: str
    tags: list[str]
    home: Path | None
    folders: dict[str, Path]


@dataclass(frozen=True)
class Lengths:
    """How long each load lasts, in seconds. warm_up_s: at one client, before anything counts."""

    closed_s: float
    open_s: float
    clients: tuple[int, ...] = (1, 8, 32)
    warm_up_s: float = WARM_UP_S


@dataclass(frozen=True)
class Ground:
    """Where a turn takes place. cores: the server's and the generator's."""

    served: Served
    shape: Shape
    picture: bytes
    cores: tuple[set[int], set[int]]


@dataclass(frozen=True)
class Counted:
    """What the models of a server had computed at a moment: seconds, images and number of batches, by stage."""

    at: float
    seconds: dict[str, float]
    images: dict[str, float]
    batches: dict[str, float]


_PREFIXES = {"detect": "vision_detect", "classify": "vision_crop"}


@contextmanager
def untrained(num_objects: int) -> Iterator[Served]:
    """Make untrained models, in a store of their own. Raises ServerFailedError."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as made:
        home = Path(made) / "bentoml"
        environment = {**os.environ, **NO_TELEMETRY, "BENTOML_HOME": str(home), "PYTHONPATH": str(PROJECT_DIR)}
        command = [sys.executable, "-m", "benchmarks.pipeline.untrained_models", f"--objects={num_objects}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerFailedError(f"the models cannot be made: {done.stderr.strip()[-2000:]}")
        printed = json.loads(done.stdout.splitlines()[-1])
        folders = dict(zip(_PREFIXES, map(Path, printed["folders"]), strict=True))
        yield Served(str(PROJECT_DIR), printed["tags"], home, folders)


def take_turn(way: str, round_number: int, ground: Ground, lengths: Lengths) -> tuple[list[Phase], Lines]:
    """Serve one way, put it under each load, end it; return also the log's lines of the requests of one client.

    Raises ServerFailedError if it does not answer.
    """
    phases: list[Phase] = []
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as made:
        folder, port = Path(made), free_port()
        request = http_request(ground.picture, Form.MULTIPART, HOST, port, DETECT_PATH)
        (folder / "request.http").write_bytes(request)
        line, environment = _started_by(ground.served, way, port)
        with running(line, folder, environment, ground.cores[0]) as process:
            check_answer(wait_until_ready(process, port, request), ground.shape.crops)
            run = _Turn(way, round_number, ground, process, folder, port)
            run.load(lengths.warm_up_s, num_clients=1)
            alone = run.measured(lengths.closed_s, "1", num_clients=1)
            own_ms = own_costs(alone.lines)
            phases.append(run.phase("1", alone, own_ms))
            for clients in lengths.clients[1:]:
                found = run.measured(lengths.closed_s, str(clients), clients)
                phases.append(run.phase(str(clients), found, own_ms))
            phases.append(run.phase(OPEN, run.measured(lengths.open_s, OPEN), own_ms))
    return phases, alone.lines


def own_costs(lines: Lines) -> dict[str, float]:
    """Return what decode, crop and encode cost a request that is alone, medians in milliseconds."""
    if not lines:
        raise ServerFailedError("no request of one client was answered")
    return {stage: statistics.median(line[f"{stage}_ms"] for line in lines) for stage in ("decode", "crop", "encode")}


def check_answer(http_answer: bytes, num_crops: int) -> None:
    """Raise ServerFailedError unless so many objects were found and all of them classified."""
    body = http_answer.partition(b"\r\n\r\n")[2]
    try:
        [answer] = json.loads(body)
        found = len(answer["classifications"]), answer["classified"]
    except (ValueError, KeyError, TypeError) as exc:
        raise ServerFailedError(f"expected the answer of /detect, got {body[:300]!r}") from exc
    if found != (num_crops, "done"):
        raise ServerFailedError(f"expected {num_crops} classified objects, got {found}")


def busy_shares(
    before: Counted, after: Counted, own_ms: dict[str, float], num_answers: float, shape: Shape
) -> dict[str, float]:
    """Return of each stage the share of its slots that worked from one count to the other.

    The models count the seconds of their batches. The other stages' work is what each answer costs alone. A stage has
    as many slots as it may have threads at work, and no more than there are cores.
    """
    window_s = after.at - before.at
    slots = {"decode": shape.decode_threads, "detect": shape.sessions, "crop": shape.decode_threads}
    slots |= {"classify": shape.sessions, "encode": 1}
    worked_s = {stage: num_answers * ms / 1e3 for stage, ms in own_ms.items()}
    worked_s |= {stage: after.seconds[stage] - before.seconds[stage] for stage in _PREFIXES}
    return {stage: worked_s[stage] / (window_s * min(slots[stage], shape.cores)) for stage in STAGES}


def read_counted(port: int) -> Counted:
    """Read a server's metrics. Raises ServerFailedError."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException) as exc:
        raise ServerFailedError(f"its metrics cannot be read: {exc}") from exc
    finally:
        connection.close()
    return Counted(
        time.perf_counter(),
        {stage: total(text, f"{prefix}_inference_seconds_sum") for stage, prefix in _PREFIXES.items()},
        {stage: total(text, f"{prefix}_batch_images_sum") for stage, prefix in _PREFIXES.items()},
        {stage: total(text, f"{prefix}_batch_images_count") for stage, prefix in _PREFIXES.items()},
    )


def total(text: str, name: str) -> float:
    """Return the sum of a metric over its labels; 0 if it is not there."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.M))


def answered(lines: Sequence[str]) -> Lines:
    """Return the log's lines of requests that went through all stages."""
    return [
        entry
        for entry in requests_of(lines)
        if entry.get("status") == 200 and all(entry.get(f"{stage}_ms") is not None for stage in STAGES)
    ]


class _Measured(NamedTuple):
    """What became of one load, with the log's lines of its requests and the models' counts around it."""

    result: LoadResult
    lines: Lines
    before: Counted
    after: Counted


@dataclass(frozen=True)
class _Turn:
    way: str
    number: int
    ground: Ground
    process: ServerProcess
    folder: Path
    port: int

    def load(self, duration_s: float, num_clients: int = 0) -> LoadResult:
        """Put a load on the server; an open loop where there are no clients."""
        rate_per_s = 0.0 if num_clients else OPEN_RATE_PER_S
        path = str(self.folder / "request.http")
        load = Load(
            HOST, self.port, path, duration_s, RAMP_S, TIMEOUT_S, num_clients, rate_per_s, seed=self.number
        )  # fmt: skip
        return generate(load, self.folder, self.ground.cores[1])

    def measured(self, duration_s: float, name: str, num_clients: int = 0) -> _Measured:
        """Put one load on the server and read what it says of it. Raises ServerFailedError if nothing is answered."""
        before = read_counted(self.port)
        start = self.process.log_path.stat().st_size
        result = self.load(duration_s, num_clients)
        after = read_counted(self.port)
        lines = answered(self.process.log_since(start))
        if not lines:
            raise ServerFailedError(f"nothing was answered at {name}; the end of its log:\n{self.process.log_tail()}")
        return _Measured(result, lines, before, after)

    def phase(self, load: str, measured: _Measured, own_ms: dict[str, float]) -> Phase:
        """Return the figures of one load."""
        result, lines, before, after = measured
        latency = result.latency_ms or {}
        batches = after.batches["classify"] - before.batches["classify"]
        return Phase(
            way=self.way, round=self.number, load=load, offered_per_s=result.offered_per_s,
            goodput_per_s=result.goodput_per_s, p50_ms=latency.get("p50"), p95_ms=latency.get("p95"),
            stages={stage: stage_times([line[f"{stage}_ms"] for line in lines]) for stage in STAGES},
            busy=busy_shares(before, after, own_ms, len(lines), self.ground.shape),
            crops_a_batch=(after.images["classify"] - before.images["classify"]) / batches if batches else 0.0,
        )  # fmt: skip


def _started_by(served: Served, way: str, port: int) -> tuple[list[str], dict[str, str]]:
    line, environment = serve_bento(served.target, port)
    environment["VISION_CROP_BATCHING"] = way
    if served.home:
        environment |= {"BENTOML_HOME": str(served.home), "VISION_MODEL": ",".join(served.tags)}
    return line, environment
