"""Where the pipeline's time goes, and what sharing batches of crops gains: `make bench-pipeline`, or

    python -m benchmarks.pipeline_load --quick

Serves a detector and a classifier of its crops and asks `/detect` about a picture of one megapixel: 1, 8 and 32
clients, and 5 requests a second at random times (Poisson; the round's number is the seed). Three ways of batching crops
take turns. Unless `--bento` names a Bento with a detector and a classifier of crops, the models are untrained: they
take the time of small networks, and the detector finds the same objects in every picture. Writes `pipeline.json` and
`pipeline.html` after every turn; docs/BENCHMARKS.md says how to read them.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.load.load import LoadError
from benchmarks.load.served_bento import BenchmarkError, pipeline_of
from benchmarks.load.server_process import ServerFailedError
from benchmarks.pages.pipeline_page import render
from benchmarks.pages.summary import Spread
from benchmarks.pipeline.measured import OURS, STAGES, WAYS, Costs, PipelineReport, Shape, quantiles
from benchmarks.pipeline.turn import Ground, Lengths, Lines, Served, take_turn, untrained
from benchmarks.workload import camera_picture
from project.command import command
from project.progress import progress
from project.write_whole import write_whole
from runtime.model.contract import SCORES, ContractError, DetectionContract
from runtime.model.cores import share_cores
from runtime.model.preprocess import read_for_model
from runtime.model.session import Predictor
from runtime.serving.request_batching import BATCH_IMAGES
from runtime.serving.settings import ServingSettings, SettingsError

NUM_OBJECTS = 6
NUM_ROUNDS, QUICK_ROUNDS = 3, 1
FULL, QUICK = Lengths(closed_s=4.0, open_s=20.0), Lengths(closed_s=1.0, open_s=4.0)
_BATCH_IMAGES = BATCH_IMAGES["cpu"]  # also compared with a batch of one
_REPEATS = 7
_KNOWN = (BenchmarkError, ContractError, ServerFailedError, SettingsError, LoadError, OSError)


@contextmanager
def what_is_served(bento: str) -> Iterator[tuple[Served, str]]:
    """Give what to serve, and its models in words; an empty tag stands for untrained models."""
    if bento:
        tag, folders, tags = pipeline_of(bento)
        yield Served(tag, tags, None, folders), f"{tag} with {' and '.join(tags)}"
        return
    with untrained(NUM_OBJECTS) as served:
        yield served, "untrained models, which find the same objects in every picture"


def growth_of(predictor: Predictor) -> float:
    """Return what each further image of a batch adds to the time of one image, as a share of it."""
    contract = predictor.contract
    pictures = np.zeros((_BATCH_IMAGES, contract.height, contract.width, 3), np.uint8)
    best = [np.inf, np.inf]
    for _ in range(_REPEATS):  # by turns; the least of each is what nobody else disturbed
        for index, number in enumerate((1, _BATCH_IMAGES)):
            began_at = time.perf_counter()
            predictor.predict(pictures[:number])
            best[index] = min(best[index], time.perf_counter() - began_at)
    return float(max(0.0, (best[1] / best[0] - 1) / (_BATCH_IMAGES - 1)))


def num_crops(predictor: Predictor, picture: bytes) -> int:
    """Return how many objects a detector finds in a picture. Raises BenchmarkError if it finds none."""
    contract = predictor.contract
    assert isinstance(contract, DetectionContract)
    scores = predictor.predict(read_for_model(picture, contract)[None])[SCORES]
    found = int((scores >= contract.threshold).sum())
    if not found:
        raise BenchmarkError("the detector finds nothing in the benchmark's picture: leave --bento out")
    return found


def costs_of(lines: Lines, detect_growth: float, classify_growth: float, shape: Shape) -> Costs:
    """Return what a lone request costs, from the log's lines of one client.

    Its crops are shared out among the sessions; each takes a batch of some of them.
    """
    times = {stage: [line[f"{stage}_ms"] for line in lines] for stage in STAGES}
    known = (*STAGES, "queue")
    times["other"] = [max(0.0, line["total_ms"] - sum(line[f"{stage}_ms"] or 0.0 for stage in known)) for line in lines]
    detect, classify = statistics.mean(times["detect"]), statistics.mean(times["classify"])
    times |= {
        "detect": [ms / detect for ms in times["detect"]],
        "classify": [ms / classify for ms in times["classify"]],
    }
    batch = -(-shape.crops // shape.sessions)
    rounds = -(-batch // shape.max_batch_images)
    images = min(batch, shape.max_batch_images)
    one_crop = classify / (rounds * (1 + classify_growth * (images - 1)))
    return Costs(
        quantiles_ms={stage: quantiles(values) for stage, values in times.items()}, detect_ms=detect,
        classify_ms=one_crop, detect_growth=detect_growth, classify_growth=classify_growth,
    )  # fmt: skip


def shape_of(num_cores: int, settings: ServingSettings, num_found: int) -> Shape:
    """Return how a server with these settings is deployed on so many cores. num_found: objects in the picture."""
    return Shape(
        cores=num_cores,
        decode_threads=settings.decode_threads,
        sessions=share_cores(num_cores, settings.sessions, settings.threads)[0],
        max_batch_images=settings.max_batch_images or _BATCH_IMAGES,
        crops=num_found,
    )


def run(
    report: PipelineReport, ground: Ground, lengths: Lengths, num_rounds: int, growths: tuple[float, float], out: Path
) -> None:
    """Give every way a turn in each round, each first by turns, and write after every turn."""
    ways, alone = list(WAYS), list[dict[str, float]]()
    turns = [(number, way) for number in range(num_rounds) for way in ways[number % 3 :] + ways[: number % 3]]
    for number, way in progress(turns, "turns"):
        phases, lines = take_turn(way, number, ground, lengths)
        report.phases.extend(phases)
        if way == OURS:
            alone.extend(lines)
            report.costs = costs_of(alone, *growths, ground.shape)
        write_whole(out / "pipeline.json", report.to_json())
        write_whole(out / "pipeline.html", render(report))


def in_words(report: PipelineReport) -> Iterator[str]:
    """Yield the lines that end a run."""
    for load in report.loads:
        if found := report.bottleneck(load):
            yield f"{_load_in_words(load)}: the busiest stage is {found[0]}, {found[1]:.0%} of its slots\n"
    for row in report.gains():
        ratio, added = row["throughput_ratio"], row["added_p95_ms"]
        if isinstance(ratio, Spread) and isinstance(added, Spread):
            where = f"{_load_in_words(str(row['load']))}, against {WAYS[str(row['against'])]}"
            yield (
                f"{where}: {ratio.median:.2f} times the answers ({ratio.low:.2f} to {ratio.high:.2f}), "
                f"p95 {added.median:+.1f} ms ({added.low:+.1f} to {added.high:+.1f})\n"
            )


def _load_in_words(load: str) -> str:
    return f"{load} in the open loop" if "/" in load else f"{load} client{'s' * (load != '1')}"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bento", default="", help="tag of one with a detector and a classifier of crops")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks"), help="folder of the report")


@command(_arguments, known=_KNOWN, speaker="benchmark")
def main(args: argparse.Namespace) -> None:
    cores, picture = machine.share_cores(os.sched_getaffinity(0)), camera_picture()
    settings = ServingSettings.read()
    with what_is_served(args.bento) as (served, words):
        detector, classifier = (Predictor.load(served.folders[stage], "cpu", 1) for stage in ("detect", "classify"))
        shape = shape_of(len(cores[0]), settings, num_crops(detector, picture))
        described = machine.describe(*cores)
        report = PipelineReport(machine=described, models=words, picture_bytes=len(picture), shape=shape)
        growths = growth_of(detector), growth_of(classifier)
        lengths, num_rounds = (QUICK, QUICK_ROUNDS) if args.quick else (FULL, NUM_ROUNDS)
        run(report, Ground(served, shape, picture, cores), lengths, num_rounds, growths, args.out)
    sys.stdout.write("".join(in_words(report)) + f"report: {args.out / 'pipeline.html'}\n")


if __name__ == "__main__":
    sys.exit(main())
