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
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks.rates.in_process_rates import measure, variants_of
from project.command import command
from project.write_whole import write_whole
from runtime.model.contract import DEFAULT_MODEL
from runtime.model.session import Predictor
from runtime.serving.model_reference import ModelUnavailable, find_model


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
