"""What loads on segmenters and pipelines have in common: serving a Bento, one load, what the server's log says."""

import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.load.load import Load, LoadResult
from benchmarks.load.server_process import ServerFailedError, ServerProcess
from benchmarks.load.servers import NO_TELEMETRY
from benchmarks.load.turns import HOST, run_module
from benchmarks.pages.segment_report import STAGES, Phase

SEGMENT_PATH = "/segment"


def serve_bento(bento: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment that serve a Bento on the CPU."""
    # The Bento must find everything in itself, so nothing may lead it to the clone.
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    line = [sys.executable, "-m", "bentoml", "serve", bento, "--host", HOST, "--port", str(port)]
    return line, plain | NO_TELEMETRY | {"VISION_DEVICE": "cpu"}


def check_answer(http_answer: bytes, name: str) -> None:
    """Raise ServerFailedError for an answer without regions."""
    if b'"regions"' not in http_answer:
        raise ServerFailedError(f"{name} does not answer with regions: {http_answer[-300:]!r}")


def measure(load: Load, process: ServerProcess, folder: Path, cores: set[int], key: tuple[str, int, str]) -> Phase:
    """Put one load on a server. cores: the generator's. key: the server's name, the round and the kind of picture."""
    start, before_s = process.log_path.stat().st_size, process.cpu_s()
    result = generate(load, folder, cores)
    spent_s = process.cpu_s() - before_s
    stages = stages_of(process.log_since(start))
    latency = result.latency_ms or {}
    cpu_ms = 1e3 * spent_s / result.num_answered if result.num_answered else None
    name, round_number, kind = key
    return Phase(
        name, round_number, kind, load.num_clients, result.goodput_per_s, latency.get("p50"), latency.get("p99"),
        cpu_ms, stages,
    )  # fmt: skip


def stages_of(lines: Sequence[str]) -> dict[str, float]:
    """Return the median of each stage in milliseconds over the requests of a server's log that were answered."""
    answered = [line for line in requests_of(lines) if line.get("status") == 200]
    times = {
        stage: [line[f"{stage}_ms"] for line in answered if line.get(f"{stage}_ms") is not None] for stage in STAGES
    }
    return {stage: statistics.median(found) for stage, found in times.items() if found}


def requests_of(lines: Sequence[str]) -> Iterator[dict[str, float]]:
    """Yield the requests that a server's log has a line of JSON of."""
    for line in lines:
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:  # cut where the log was read
                continue


def generate(load: Load, folder: Path, cores: set[int]) -> LoadResult:
    """Run the load generator in a process of its own, on these cores. folder: for a file of its own."""
    path = folder / "load.json"
    path.write_text(json.dumps(asdict(load)), encoding="utf-8")
    return LoadResult(**run_module("benchmarks.load.load_generator", [str(path)], cores))
