"""Pictures a second into training batches, against torchvision's ImageFolder: `python -m benchmarks.input_pipeline`.

Every contender reads the same files with the same augmentation (a random crop of 80% or more of the area, both flips,
brightness and contrast), batch size and number of loader processes, an epoch at a time and in turns, so that whatever
else the machine does meets all alike. Wall time gives the ratios; CPU time, of the loader processes too, is beside it
because it hardly depends on what else runs. Writes `input_pipeline.json` and `input_pipeline.html` to `--out`.
"""

import argparse
import gc
import json
import logging
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.transforms import InterpolationMode, v2

from benchmarks.drawn_pictures import PictureSet, as_folder, draw_folder
from benchmarks.machine import describe
from benchmarks.pages.input_pipeline_page import markdown, render
from benchmarks.pages.input_pipeline_ratios import CACHED, LEAN_PEER, OURS, PEER, Turn
from dataset.manifest import Manifest
from project.command import command
from runtime.model.contract import ClassificationContract
from training.batch_params import AugmentParams
from training.data.augmentation import Augmentation
from training.data.cache import open_caches, zoom_of
from training.data.tensors import PictureDataset, training_batches

# Width, height and how many: a second of work or more each.
SIZES = ((4000, 3000, 32), (1600, 1200, 64), (800, 600, 192), (400, 300, 384), (224, 224, 768))
QUICK_SIZES = ((600, 400, 32),)
BATCH_SIZE, INPUT_PX = 32, 224
MIN_AREA, MAX_ASPECT, STRENGTH = 0.8, 4 / 3, 0.25
Epoch = Callable[[int], Iterable[object]]
logger = logging.getLogger(__name__)


def contenders(manifest: Manifest, folder: Path, num_workers: int, cache_dir: Path) -> dict[str, Epoch]:
    """Return for each contender a function of the epoch's number that gives its batches.

    folder: has one folder of pictures for each class, the same files that the manifest lists.
    """
    contract = ClassificationContract(
        classes=manifest.classes, height=INPUT_PX, width=INPUT_PX, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    params = AugmentParams(
        flip=True, brightness=STRENGTH, contrast=STRENGTH, crop_min_area=MIN_AREA, crop_max_aspect=MAX_ASPECT
    )
    plain = PictureDataset(manifest, contract, Augmentation(params, 0))
    (cache,) = open_caches(cache_dir, contract, [(manifest, zoom_of(params))], 2**36)
    cached = PictureDataset(manifest, contract, Augmentation(params, 0), cache=cache)

    def ours(dataset: PictureDataset) -> Epoch:
        return lambda epoch: training_batches(dataset, epoch, BATCH_SIZE, 0, 1, 0, num_workers)

    def peer(transform: v2.Compose) -> Epoch:
        loader: DataLoader[object] = DataLoader(
            datasets.ImageFolder(str(folder), transform), BATCH_SIZE, shuffle=True, drop_last=True,
            num_workers=num_workers,
        )  # fmt: skip
        return lambda _: loader

    return {OURS: ours(plain), CACHED: ours(cached), PEER: peer(usual_transform()), LEAN_PEER: peer(lean_transform())}


def _augmentation() -> list[torch.nn.Module]:
    return [
        v2.RandomResizedCrop(
            INPUT_PX, (MIN_AREA, 1), (1 / MAX_ASPECT, MAX_ASPECT), InterpolationMode.BILINEAR, antialias=True
        ),
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.ColorJitter(brightness=STRENGTH, contrast=STRENGTH),
    ]


def usual_transform() -> v2.Compose:
    """As torchvision's own training scripts and most code: Pillow images, then float32, normalised."""
    end = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.5,) * 3, (0.5,) * 3)]
    return v2.Compose([*_augmentation(), *end])


def lean_transform() -> v2.Compose:
    """The least that torchvision needs: batches of uint8, normalised in the model as ours are."""
    return v2.Compose([*_augmentation(), v2.PILToTensor()])


def measure(name: str, contender: str, num_workers: int, epoch: int, batches: Epoch) -> Turn:
    """Draw one epoch, the start of loader processes included, and count what it took."""
    gc.collect()
    cpu_s, start_s = _cpu_s(), time.perf_counter()
    num_batches = sum(1 for _ in batches(epoch))  # at its end loader processes end, whose CPU time counts only then
    took_s = time.perf_counter() - start_s
    num_pictures = num_batches * BATCH_SIZE
    return Turn(name, contender, num_workers, num_pictures / took_s, (_cpu_s() - cpu_s) * 1000 / num_pictures)


def run(sets: Iterable[PictureSet], workers: Sequence[int], num_rounds: int, cache_dir: Path) -> Iterator[list[Turn]]:
    """Measure all contenders in turns; yield the turns so far after each set of pictures and number of processes.

    The first round of each warms up and is left out.
    """
    turns: list[Turn] = []
    for name, manifest, folder in sets:
        for num_workers in workers:
            rivals = contenders(manifest, folder, num_workers, cache_dir)
            for epoch in range(num_rounds + 1):
                taken = [measure(name, rival, num_workers, epoch, batches) for rival, batches in rivals.items()]
                turns += taken if epoch else []
            logger.info("%s, %d workers: done", name, num_workers)
            yield turns


def write(turns: Sequence[Turn], machine: dict[str, Any], out_dir: Path) -> None:
    """Write the run so far: one that is broken off leaves what it has measured."""
    report = {"machine": machine, "batch_size": BATCH_SIZE, "turns": [asdict(turn) for turn in turns]}
    (out_dir / "input_pipeline.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out_dir / "input_pipeline.html").write_text(render(machine, BATCH_SIZE, turns), encoding="utf-8")


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks"))
    parser.add_argument("--manifest", type=Path, help="measure the training pictures of this manifest too")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="loader processes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few small pictures, to see that it works")


@command(_arguments)
def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)  # for all contenders: parallelism is by loader processes
    cores = os.sched_getaffinity(0)
    machine = asdict(describe(cores, cores))
    with tempfile.TemporaryDirectory() as temporary:
        sets = [draw_folder(Path(temporary), *size) for size in (QUICK_SIZES if args.quick else SIZES)]
        if args.manifest:
            sets.append(as_folder(Manifest.read(args.manifest).select("train"), Path(temporary) / "own"))
        args.out.mkdir(parents=True, exist_ok=True)
        turns: list[Turn] = []
        for turns in run(sets, args.workers, args.rounds, Path(temporary) / "cache"):
            write(turns, machine, args.out)
    sys.stdout.write(markdown(turns))


if __name__ == "__main__":
    sys.exit(main())
