"""Outlines under load, ours beside a server that takes one picture at a time: `make bench`, or

    python -m benchmarks.segment_load --bento vision:latest --quick

Writes `segmentation.json` and `segmentation.html` after every turn. docs/BENCHMARKS.md says how to read them.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import machine
from benchmarks.load.load import Load
from benchmarks.load.segment_turn import SEGMENT_PATH, check_answer, generate, measure, serve_bento
from benchmarks.load.served_bento import BenchmarkError, segmenter_of
from benchmarks.load.server_process import ServerFailedError, free_port, running, wait_until_ready
from benchmarks.load.servers import NO_TELEMETRY, OURS, PROJECT_DIR
from benchmarks.load.turns import HOST, TIMEOUT_S, WARM_UP_S
from benchmarks.pages.segment_report import NAIVE, SegmentReport, render
from benchmarks.pages.summary import Spread
from benchmarks.workload import Form, http_request, large_picture, small_picture
from project.command import command
from project.progress import progress
from project.write_whole import write_whole

CLIENTS = (1, 8, 32)
NUM_ROUNDS, WINDOW_S, RAMP_S = 3, 3.0, 0.5
QUICK_ROUNDS, QUICK_WINDOW_S = 1, 1.0


def take_turn(
    name: str, round_number: int, report: SegmentReport, model_dir: Path, cores: tuple[set[int], set[int]],
    pictures: dict[str, bytes], window_s: float,
) -> None:  # fmt: skip
    """Start one server, put it under each load, end it. Raises ServerFailedError if it does not answer."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as made:
        folder, port = Path(made), free_port()
        requests = {
            kind: http_request(picture, Form.MULTIPART, HOST, port, SEGMENT_PATH) for kind, picture in pictures.items()
        }
        command_line, environment = _started_by(name, report.bento, model_dir, port, len(cores[0]), folder)
        with running(command_line, folder, environment, cores[0]) as process:
            check_answer(wait_until_ready(process, port, requests["small"]), name)
            for kind, request in requests.items():
                path = folder / f"{kind}.http"
                path.write_bytes(request)
                generate(Load(HOST, port, str(path), WARM_UP_S, 0.0, TIMEOUT_S, num_clients=1), folder, cores[1])
                for num_clients in CLIENTS:
                    load = Load(HOST, port, str(path), window_s, RAMP_S, TIMEOUT_S, num_clients=num_clients)
                    report.phases.append(measure(load, process, folder, cores[1], (name, round_number, kind)))


def _started_by(
    name: str, bento: str, model_dir: Path, port: int, num_cores: int, folder: Path
) -> tuple[list[str], dict[str, str]]:
    if name == OURS:
        return serve_bento(bento, port)
    line = [sys.executable, "-m", "benchmarks.peers.naive_segmenter", f"--model-dir={model_dir}", f"--port={port}"]
    line += ["--sessions=1", f"--threads={num_cores}"]
    return line, dict(os.environ) | NO_TELEMETRY | {"PYTHONPATH": str(PROJECT_DIR), "HOME": str(folder)}


def write(report: SegmentReport, out_dir: Path) -> None:
    """Write `segmentation.json` and `segmentation.html`."""
    write_whole(out_dir / "segmentation.json", report.to_json())
    write_whole(out_dir / "segmentation.html", render(report))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bento", default="vision:latest", help="a Bento's tag")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks"), help="folder of the report")


@command(_arguments, known=(BenchmarkError, ServerFailedError, OSError), speaker="benchmark")
def main(args: argparse.Namespace) -> None:
    bento, model, model_dir = segmenter_of(args.bento)
    cores = machine.share_cores(os.sched_getaffinity(0))
    pictures = {"small": small_picture(), "large": large_picture()}
    sizes = {kind: len(picture) for kind, picture in pictures.items()}
    report = SegmentReport(machine.describe(*cores), bento, model, sizes)
    num_rounds, window_s = (QUICK_ROUNDS, QUICK_WINDOW_S) if args.quick else (NUM_ROUNDS, WINDOW_S)
    turns = [(number, name) for number in range(num_rounds) for name in ((OURS, NAIVE), (NAIVE, OURS))[number % 2]]
    for number, name in progress(turns, "turns"):
        take_turn(name, number, report, model_dir, cores, pictures, window_s)
        write(report, args.out)
    for row in report.rows():
        rate, ratio = row["goodput_per_s"], row["divided_by_naive"]
        assert isinstance(rate, Spread)
        assert isinstance(ratio, Spread)
        sys.stdout.write(
            f"{row['picture']:>5} picture, {row['clients']:>2} clients, {row['server']}: {rate.median:.1f} answers/s, "
            f"{ratio.median:.2f} times the naive server's\n"
        )
    sys.stdout.write(f"report: {args.out / 'segmentation.html'}\n")


if __name__ == "__main__":
    sys.exit(main())
