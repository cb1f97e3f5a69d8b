"""The training loop: one epoch of optimisation, and an exact evaluation over all processes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from project.progress import progress
from training.data.tensors import Batch, TrainingData, evaluation_batches
from training.process.distributed import Worker
from training.run.position import Keeper
from training.run.step import Learner

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Outputs:
    """Results for a whole dataset, in its order. logits: `(N, C)` float32; losses: `(N,)` float32, unweighted."""

    logits: FloatArray
    losses: FloatArray


def train_one_epoch(learner: Learner, batches: Iterable[Batch], keeper: Keeper) -> None:
    """Optimise over the batches. Raises Requeue if the run was asked to leave; it is saved then."""
    at, figures = keeper.at, keeper.figures
    for batch in figures.timed(batches):
        figures.add(*learner.step(batch, at.step + 1, at.phase_steps), learner.lr, len(batch.labels))
        keeper.after_step()


def run_model(
    model: nn.Module, dataset: TrainingData, batch_size: int, worker: Worker, what: str, num_workers: int = 0
) -> Outputs:
    """Run a classifier over every picture exactly once, over all processes; every process gets all results."""

    def answer(batch: Batch) -> tuple[torch.Tensor, ...]:
        logits = model(batch.images.to(worker.device)).float()
        return logits, F.cross_entropy(logits, batch.labels.to(worker.device), reduction="none")

    model.eval()
    logits, losses = over_all(answer, dataset, batch_size, worker, what, num_workers)
    return Outputs(logits, losses)


@torch.inference_mode()
def over_all(
    answer: Callable[[Batch], tuple[torch.Tensor, ...]],
    dataset: TrainingData,
    batch_size: int,
    worker: Worker,
    what: str,
    num_workers: int = 0,
) -> list[FloatArray]:
    """Ask for every picture exactly once, over all processes; return each of the answers `(N, ...)`, in order.

    answer: tensors of a batch, each with one row a picture, and the same number of tensors each time.
    """
    loader = evaluation_batches(dataset, batch_size, worker.rank, worker.world_size, num_workers)
    found = [
        (batch.indices, *answer(batch))
        for batch in progress(loader, what, unit="batch", leave=False, is_shown=worker.is_main)
    ]
    # A process may have no picture at all when there are more processes than pictures.
    shares = worker.gather_objects([torch.cat(parts).cpu() for parts in zip(*found, strict=True)])
    indices, *answers = (torch.cat(parts) for parts in zip(*filter(None, shares), strict=True))
    order = indices.argsort()
    return [part[order].numpy() for part in answers]
