"""A picture of nine tiles beside the same picture whole, over HTTP, on one server:

    python -m benchmarks.tiles --bento vision:latest --quick

Servers that compute slices one after the other take nine times as long. Writes `tiles.json`: answers a second, medians
of latency, and the ratios of both and of the server's CPU time a request within each round, for 1 and 8 clients.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import machine
from benchmarks.load.load import Load
from benchmarks.load.segment_turn import SEGMENT_PATH, check_answer, generate, measure, serve_bento
from benchmarks.load.served_bento import BenchmarkError, segmenter_of
from benchmarks.load.server_process import ServerFailedError, ServerProcess, free_port, running, wait_until_ready
from benchmarks.load.servers import OURS
from benchmarks.load.turns import HOST, TIMEOUT_S, WARM_UP_S
from benchmarks.machine import Machine
from benchmarks.pages.segment_report import Phase
from benchmarks.pages.summary import Spread
from benchmarks.workload import CAMERA_SIZE_PX, Form, camera_picture, http_request
from project.command import command
from project.progress import progress
from project.write_whole import write_whole
from runtime.model.contract import CONTRACT_FILE, read_contract
from runtime.model.tiles import TileParams, tile_boxes

NUM_TILES = 9
CLIENTS = (1, 8)
WHOLE, TILED = "whole", f"{NUM_TILES} tiles"
NUM_ROUNDS, WINDOW_S, RAMP_S = 5, 4.0, 0.5
QUICK_ROUNDS, QUICK_WINDOW_S = 1, 1.5


@dataclass
class TilesReport:
    """What one run measured. size_px: of a tile."""

    machine: Machine
    bento: str
    model: str
    size_px: int
    phases: list[Phase] = field(default_factory=list)

    def rows(self) -> list[dict[str, object]]:
        """Return one row for each number of clients: medians, and how many times as much a picture of tiles takes.

        Ratios are of figures of one round, the machine being another in the next.
        """
        return [self._row(number) for number in dict.fromkeys(phase.num_clients for phase in self.phases)]

    def _row(self, num_clients: int) -> dict[str, object]:
        whole, tiled = (
            {p.round: p for p in self.phases if (p.picture, p.num_clients) == (kind, num_clients) and p.p50_ms}
            for kind in (WHOLE, TILED)
        )
        pairs = [(whole[number], tiled[number]) for number in whole if number in tiled]
        return {
            "clients": num_clients,
            "latency_ratio": Spread.of([(t.p50_ms or 0) / (w.p50_ms or 1) for w, t in pairs]),
            "throughput_ratio": Spread.of([w.goodput_per_s / t.goodput_per_s for w, t in pairs if t.goodput_per_s]),
            "cpu_ratio": Spread.of(
                [t.server_cpu_ms / w.server_cpu_ms for w, t in pairs if t.server_cpu_ms and w.server_cpu_ms]
            ),
            "whole_p50_ms": Spread.of([w.p50_ms or 0 for w, _ in pairs]),
            "tiled_p50_ms": Spread.of([t.p50_ms or 0 for _, t in pairs]),
        }

    def to_json(self) -> str:
        rows = [
            {name: asdict(value) if isinstance(value, Spread) else value for name, value in row.items()}
            for row in self.rows()
        ]
        return json.dumps({"rows": rows, **asdict(self)}, indent=2) + "\n"


def size_of_tiles(picture: tuple[int, int], network: tuple[int, int]) -> int:
    """Return the largest size of tiles, with the usual overlap, of which a picture of (width, height) has nine.

    Raises BenchmarkError if none has.
    """
    for size_px in range(max(picture), 15, -1):
        if len(tile_boxes(picture, network, TileParams(size_px=size_px))) == NUM_TILES:
            return size_px
    raise BenchmarkError(f"no tiles of a network of {network[0]} x {network[1]} are {NUM_TILES} in this picture")


def take_rounds(
    process: ServerProcess, report: TilesReport, requests: dict[str, Path], rounds: Sequence[int], window_s: float,
    port: int, generator_cores: set[int],
) -> None:  # fmt: skip
    """Put each kind of request under each number of clients, kinds in turns and each first in every other round."""
    folder = next(iter(requests.values())).parent
    for path in requests.values():
        generate(Load(HOST, port, str(path), WARM_UP_S, 0.0, TIMEOUT_S, num_clients=1), folder, generator_cores)
    for number in progress(rounds, "rounds"):
        kinds = list(requests)[:: 1 if number % 2 == 0 else -1]
        for num_clients in CLIENTS:
            for kind in kinds:
                load = Load(HOST, port, str(requests[kind]), window_s, RAMP_S, TIMEOUT_S, num_clients=num_clients)
                report.phases.append(measure(load, process, folder, generator_cores, (OURS, number, kind)))


def serve_and_measure(report: TilesReport, num_rounds: int, window_s: float, cores: tuple[set[int], set[int]]) -> None:
    """Serve the Bento, measure, and end it. Raises ServerFailedError if it does not answer."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as made:
        folder, port, picture = Path(made), free_port(), camera_picture()
        queries = {WHOLE: "?tiles=none&roi=none", TILED: f"?tiles={report.size_px}&roi=none"}
        requests = {}
        for number, (kind, query) in enumerate(queries.items()):
            requests[kind] = folder / f"{number}.http"
            requests[kind].write_bytes(http_request(picture, Form.MULTIPART, HOST, port, SEGMENT_PATH + query))
        line, environment = serve_bento(report.bento, port)
        with running(line, folder, environment, cores[0]) as process:
            check_answer(wait_until_ready(process, port, requests[TILED].read_bytes()), report.bento)
            take_rounds(process, report, requests, range(num_rounds), window_s, port, cores[1])


def in_words(row: dict[str, object]) -> str:
    """Return one line for one number of clients."""
    names = {"latency_ratio": "latency", "throughput_ratio": "1 / throughput", "cpu_ratio": "CPU time"}
    ratios = [
        f"{name} {found.median:.2f} ({found.low:.2f} to {found.high:.2f})" if isinstance(found, Spread) else f"{name} -"
        for key, name in names.items()
        for found in [row[key]]
    ]
    return f"{row['clients']} clients, {NUM_TILES} tiles by a whole picture: {', '.join(ratios)}\n"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bento", default="vision:latest", help="a Bento's tag")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks"), help="folder of the report")


@command(_arguments, known=(BenchmarkError, ServerFailedError, OSError), speaker="benchmark")
def main(args: argparse.Namespace) -> None:
    bento, model, model_dir = segmenter_of(args.bento)
    contract = read_contract(model_dir / CONTRACT_FILE)
    cores = machine.share_cores(os.sched_getaffinity(0))
    size_px = size_of_tiles(CAMERA_SIZE_PX, (contract.width, contract.height))
    report = TilesReport(machine.describe(*cores), bento, model, size_px)
    num_rounds, window_s = (QUICK_ROUNDS, QUICK_WINDOW_S) if args.quick else (NUM_ROUNDS, WINDOW_S)
    serve_and_measure(report, num_rounds, window_s, cores)
    write_whole(args.out / "tiles.json", report.to_json())
    sys.stdout.write("".join(in_words(row) for row in report.rows()))
    sys.stdout.write(f"report: {args.out / 'tiles.json'}\n")


if __name__ == "__main__":
    sys.exit(main())
