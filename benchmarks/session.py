"""How fast one image becomes pixels and a batch becomes probabilities, in process: `python -m benchmarks.session`.

Measures decoding with resizing, and the ONNX session at several batch sizes, on a registered model and one of its
pictures. All variants take turns in every round, so that a busy machine slows them alike; figures are medians with the
quartiles of the rounds. The ceiling for any server on this machine; not measured: HTTP, batching, several sessions.
"""

import argparse
import csv
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from project.command import command
from project.progress import progress
from project.write_whole import write_whole
from runtime.model.contract import DEFAULT_MODEL
from runtime.model.preprocess import read_for_model
from runtime.model.session import Predictor
from runtime.serving.model_reference import ModelUnavailable, find_model

BATCH_SIZES = (1, 8, 32)
MIN_ROUND_S = 0.2  # of one variant in one round: long against the clock's and the scheduler's grain


@dataclass(frozen=True)
class Rate:
    """Images a second: median and quartiles over rounds."""

    name: str
    median: float
    low: float
    high: float


def measure(variants: dict[str, tuple[Callable[[], object], int]], num_rounds: int) -> list[Rate]:
    """Time callables in turns. variants: name -> (callable, images that one call treats)."""
    for call, _ in variants.values():
        call()
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for _ in progress(range(num_rounds), "rounds"):
        for name, (call, num_images) in variants.items():
            rates[name].append(_images_per_s(call, num_images))
    quartiles = {name: np.percentile(values, (50, 25, 75)) for name, values in rates.items()}
    return [Rate(name, *map(float, values)) for name, values in quartiles.items()]


def _images_per_s(call: Callable[[], object], num_images: int) -> float:
    start = time.perf_counter()
    num_calls = 0
    while (elapsed := time.perf_counter() - start) < MIN_ROUND_S:
        call()
        num_calls += 1
    return num_calls * num_images / elapsed


def variants_of(predictor: Predictor, encoded: bytes) -> dict[str, tuple[Callable[[], object], int]]:
    """Return what is measured for one model and one encoded picture."""
    contract = predictor.contract
    pixels = read_for_model(encoded, contract)
    variants: dict[str, tuple[Callable[[], object], int]] = {
        "decode and resize": (lambda: read_for_model(encoded, contract), 1)
    }
    for size in BATCH_SIZES:
        batch = np.repeat(pixels[None], size, axis=0)
        variants[f"session, batch {size}"] = (partial(predictor.predict, batch), size)
    return variants


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--picture", type=Path, help="else the first of data/manifest.csv")
    parser.add_argument("--threads", type=int, default=0, help="of one inference; 0 takes every core")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks/session.json"))


@command(_arguments, known=(ModelUnavailable, OSError), speaker="benchmark")
def main(arguments: argparse.Namespace) -> None:
    predictor = Predictor.load(Path(find_model(arguments.model).path), threads=arguments.threads, spins=True)
    encoded = (arguments.picture or _first_picture(Path("data/manifest.csv"))).read_bytes()
    rates = measure(variants_of(predictor, encoded), arguments.rounds)
    cores = len(os.sched_getaffinity(0))
    where = f"{predictor.device}, {cores} cores, {platform.machine()}, onnxruntime {version('onnxruntime-gpu')}"
    sys.stdout.write(f"{arguments.model} on {where}\n")
    for rate in rates:
        sys.stdout.write(f"{rate.name:<20} {rate.median:8.1f} images/s ({rate.low:.1f} to {rate.high:.1f})\n")
    found = {"machine": where, "rates": [asdict(rate) for rate in rates]}
    write_whole(arguments.out, json.dumps(found, indent=2) + "\n")


def _first_picture(manifest: Path) -> Path:
    with manifest.open(newline="", encoding="utf-8") as file:
        return manifest.parent / next(csv.DictReader(file))["path"]


if __name__ == "__main__":
    sys.exit(main())
