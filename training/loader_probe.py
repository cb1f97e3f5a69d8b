"""How many loader processes? `python -m training.loader_probe` measures batches as training would read them.

For each number of processes (`--workers` of training) and of batches that each keeps ready, it draws one
epoch or `--batches` of it, as `params.yaml` asks (augmentation and cache included), and recommends the fewest processes
that reach nearly the best rate. Nothing else should run: training itself needs cores too, so where there is no GPU
compare with the images/s that training logs, and take no more processes than that needs.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dataset.manifest import Manifest
from project.command import at_least, command
from runtime.model.contract import ClassificationContract
from training.data.pictures import training_pictures
from training.data.tensors import PREFETCH, PictureDataset, training_batches
from training.params import Params
from training.run.batch_size import with_fitting_batch
from training.run.known_errors import KNOWN_ERRORS
from training.run.new_contract import input_of
from training.sanity import add_data_options

NEARLY = 0.95  # of the best rate
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probe:
    """One setting: seconds until the first batch was there, and images/s from then on."""

    num_workers: int
    prefetch: int
    start_s: float
    images_per_s: float


def probe(dataset: PictureDataset, params: Params, num_workers: int, prefetch: int, num_batches: int) -> Probe:
    """Measure one setting over at most `num_batches` batches of an epoch; at least 2 are needed for a rate."""
    train = params.train
    begin_s = time.perf_counter()
    batches = training_batches(
        dataset, 1, train.batch_size, 0, 1, train.seed, num_workers, train.sampling, prefetch=prefetch
    )
    next(batches)
    first_s = time.perf_counter()
    num_images = sum(len(batch.labels) for _, batch in zip(range(num_batches - 1), batches, strict=False))
    return Probe(num_workers, prefetch, first_s - begin_s, num_images / (time.perf_counter() - first_s))


def recommend(probes: Sequence[Probe]) -> Probe:
    """Return the setting with the fewest processes, then the least kept ready, that reaches nearly the best rate."""
    best = max(found.images_per_s for found in probes)
    enough = [found for found in probes if found.images_per_s >= NEARLY * best]
    return min(enough, key=lambda found: (found.num_workers, found.prefetch))


def table(probes: Sequence[Probe]) -> str:
    """Lay the settings out as text, one a line."""
    lines = ["workers  prefetch  first batch after  images/s"]
    for found in probes:
        ready = str(found.prefetch) if found.num_workers else "-"
        lines.append(f"{found.num_workers:>7}  {ready:>8}  {found.start_s:>15.2f} s  {found.images_per_s:>8.0f}")
    return "\n".join(lines)


def settings(num_cores: int, prefetches: Sequence[int]) -> list[tuple[int, int]]:
    """Return (workers, prefetch) to try: none, then doubling up to the cores, each with every prefetch."""
    workers = sorted({1 << i for i in range(num_cores.bit_length()) if 1 << i <= num_cores} | {num_cores})
    return [(0, prefetches[0]), *((number, ready) for number in workers for ready in prefetches)]


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument("--batches", type=at_least(2), default=30, help="at most so many for each setting")
    parser.add_argument("--prefetch", type=at_least(1), nargs="+", default=[1, 2, 4])


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    manifest, params = Manifest.read(arguments.manifest), Params.read(arguments.params)
    train = manifest.select("train")
    params = with_fitting_batch(params, len(train.table), min_steps=2)  # a rate needs two
    # Mean and std are the model's business and change no speed.
    contract = ClassificationContract(
        classes=manifest.classes, mean=(0.5,) * 3, std=(0.5,) * 3, **input_of(manifest, params.contract)
    )
    dataset = training_pictures(train, contract, params, num_epochs=1 + params.augment.off_last_epochs)
    probe(dataset, params, 0, 2, arguments.batches)  # brings files into memory, and into the cache if there is one
    wanted = settings(len(os.sched_getaffinity(0)), arguments.prefetch)
    probes = [probe(dataset, params, workers, ready, arguments.batches) for workers, ready in wanted]
    logger.info("%s", table(probes))
    best = recommend(probes)
    logger.info(
        "recommended: --workers %d%s, %.0f images/s", best.num_workers,
        f" (best with {best.prefetch} batches kept ready; training keeps {PREFETCH})" if best.num_workers else "",
        best.images_per_s,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
