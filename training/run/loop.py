"""The training loop: one epoch of optimisation, and an exact evaluation over all processes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from dataset.progress import progress
from training.data.tensors import Batch, PictureDataset, evaluation_batches
from training.process.distributed import Worker
from training.run.learner import Learner
from training.run.meter import EpochMeter


@dataclass(frozen=True)
class Outputs:
    """Results for a whole dataset, in its order. logits: `(N, C)` float32; losses: `(N,)` float32, unweighted."""

    logits: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    losses: np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def train_one_epoch(
    learner: Learner, batches: Iterable[Batch], meter: EpochMeter, first_step: int, after_step: Callable[[], None]
) -> None:
    """Optimise over the batches.

    first_step: the first batch's number over the whole run, from 1. `after_step` may save the run or end it by raising.
    """
    for step, batch in enumerate(meter.timed(batches), first_step):
        meter.add(*learner.step(batch, step), learner.lr, len(batch.labels))
        after_step()


@torch.inference_mode()
def run_model(
    model: nn.Module, dataset: PictureDataset, batch_size: int, worker: Worker, what: str, num_workers: int = 0
) -> Outputs:
    """Run the model over every picture exactly once, over all processes; every process gets all results."""
    model.eval()
    loader = evaluation_batches(dataset, batch_size, worker.rank, worker.world_size, num_workers)
    logits, losses, indices = [], [], []
    for batch in progress(loader, what, unit="batch", leave=False, is_shown=worker.is_main):
        output = model(batch.images.to(worker.device)).float()
        logits.append(output)
        losses.append(F.cross_entropy(output, batch.labels.to(worker.device), reduction="none"))
        indices.append(batch.indices)
    order = worker.gather(_joined(indices, torch.empty(0, dtype=torch.int64))).argsort()
    return Outputs(
        worker.gather(_joined(logits, torch.empty(0)))[order].numpy(),
        worker.gather(_joined(losses, torch.empty(0)))[order].numpy(),
    )


def _joined(parts: list[torch.Tensor], empty: torch.Tensor) -> torch.Tensor:
    """Concatenate; a process may have no picture at all when there are more processes than pictures."""
    return torch.cat(parts) if parts else empty
