"""Which learning rate? `python -m training.lr_finder` raises it step by step and shows what the loss does.

The model, batches, augmentation and loss are those with which training would begin a phase; the rate rises
exponentially until the loss has risen far above its least (Smith 2017). Suggested is the rate at which the smoothed
loss falls fastest. Writes `lr_finder.csv` and `lr_finder.png` to `--out`; nothing is trained.
"""

import argparse
import csv
import itertools
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dataset.checks import check_every_class_trains
from dataset.manifest import Manifest
from project.command import UsageError, at_least, command, positive
from project.params import ParamsError
from training.data.pictures import training_pictures
from training.data.tensors import Batch, PictureDataset, training_batches
from training.engine_params import PhaseParams
from training.network.losses import training_loss
from training.network.optimiser import freeze_all_but, make_optimiser, trainable_parameters
from training.params import Params
from training.process.distributed import single_worker
from training.run.batch_size import with_fitting_batch
from training.run.known_errors import KNOWN_ERRORS
from training.sanity import add_data_options, untrained

SMOOTHING = 0.9  # of the loss's moving average, corrected for its start
DIVERGED = 4.0  # times the least smoothed loss
MIN_POINTS = 10
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Point:
    """One step: the head's rate, the batch's loss, and its moving average."""

    lr: float
    loss: float
    smoothed: float


def find(manifest: Manifest, params: Params, phase: PhaseParams, lrs: Sequence[float], num_workers: int) -> list[Point]:
    """Take a step at each rate in turn, until the loss diverges. The other groups' rates keep their proportion."""
    device = single_worker().device
    check_every_class_trains(manifest.table)
    train = manifest.select("train")
    params = with_fitting_batch(params, len(train.table))
    model, contract = untrained(manifest, params, device)
    dataset = training_pictures(train, contract, params, num_epochs=len(lrs) + 1)
    loss_function = training_loss(dataset.labels, len(contract.classes), params.train, device)
    freeze_all_but(model, trainable_parameters(model, phase))
    optimiser = make_optimiser(model, phase, params.train.weight_decay)
    model.train()
    points: list[Point] = []
    average = 0.0
    for step, (lr, batch) in enumerate(zip(lrs, _endless(dataset, params, num_workers), strict=False), 1):
        for group in optimiser.param_groups:
            group["lr"] = lr * group["highest_lr"] / phase.lr
        optimiser.zero_grad(set_to_none=True)
        loss = loss_function(model(batch.images.to(device)), batch.targets.to(device))
        average = SMOOTHING * average + (1 - SMOOTHING) * float(loss.detach())
        points.append(Point(lr, float(loss.detach()), average / (1 - SMOOTHING**step)))
        if has_diverged(points):
            break
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return points


def has_diverged(points: Sequence[Point]) -> bool:
    """Tell whether the last loss is no number, or the average has risen far above its least."""
    last = points[-1]
    return not math.isfinite(last.loss) or last.smoothed > DIVERGED * min(point.smoothed for point in points)


def suggest(points: Sequence[Point]) -> float | None:
    """Return the rate at which the smoothed loss falls fastest on its way to its least; None if it never falls."""
    finite = [point for point in points if math.isfinite(point.smoothed)]
    until = int(np.argmin([point.smoothed for point in finite])) + 1 if finite else 0
    if until < MIN_POINTS:
        return None
    falling = finite[:until]
    slopes = np.gradient([point.smoothed for point in falling], np.log([point.lr for point in falling]))
    return falling[int(np.argmin(slopes))].lr


def plot(points: Sequence[Point], suggested: float | None, path: Path) -> None:
    """Draw loss over rate as PNG."""
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axes = figure.subplots()
    shown = [point for point in points if math.isfinite(point.smoothed)]
    axes.plot([p.lr for p in shown], [p.loss for p in shown], color="#bbbbbb", linewidth=0.8, label="a batch")
    axes.plot([p.lr for p in shown], [p.smoothed for p in shown], color="#111111", label="moving average")
    if suggested is not None:
        axes.axvline(suggested, color="#cc3311", linestyle=":", label=f"falls fastest: {suggested:.2g}")
    least = min(point.smoothed for point in shown)
    axes.set_ylim(0, max(2.5 * shown[0].smoothed, 1.5 * least))
    axes.set_xscale("log")
    axes.set_xlabel("learning rate of the head")
    axes.set_ylabel("training loss")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def write_csv(points: Sequence[Point], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["lr", "loss", "smoothed"])
        writer.writerows([point.lr, point.loss, point.smoothed] for point in points)


def _endless(dataset: PictureDataset, params: Params, num_workers: int) -> Iterator[Batch]:
    """Yield the batches of epoch after epoch."""
    train = params.train
    for epoch in itertools.count(1):
        yield from training_batches(dataset, epoch, train.batch_size, 0, 1, train.seed, num_workers, train.sampling)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument("--out", type=Path, default=Path("artifacts/lr_finder"))
    parser.add_argument("--phase", type=int, help="which of train.phases, from 0; the last if left out")
    parser.add_argument("--steps", type=at_least(MIN_POINTS), default=100)
    parser.add_argument("--from", type=positive, default=1e-6, dest="lowest")
    parser.add_argument("--to", type=positive, default=1.0, dest="highest")
    parser.add_argument("--workers", type=at_least(0), default=0, help="processes that decode")


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> int:
    if arguments.lowest >= arguments.highest:
        raise UsageError(f"--from must be below --to, got {arguments.lowest:g} and {arguments.highest:g}")
    manifest, params = Manifest.read(arguments.manifest), Params.read(arguments.params)
    number = len(params.train.phases) - 1 if arguments.phase is None else arguments.phase
    if not 0 <= number < len(params.train.phases):
        raise ParamsError(f"there is no phase {number}: train.phases has {len(params.train.phases)}, from 0")
    phase = params.train.phases[number]
    lrs = np.geomspace(arguments.lowest, arguments.highest, arguments.steps).tolist()
    points = find(manifest, params, phase, lrs, arguments.workers)
    arguments.out.mkdir(parents=True, exist_ok=True)
    suggested = suggest(points)
    write_csv(points, arguments.out / "lr_finder.csv")
    plot(points, suggested, arguments.out / "lr_finder.png")
    if suggested is None:
        logger.info("the loss did not fall: begin lower (--from) or take more steps; see %s", arguments.out)
        return 1
    logger.info("suggested: train.phases.%d.lr %.2g (now %.2g); see %s/lr_finder.png", number, suggested, phase.lr,
                arguments.out)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
