"""The training loop: one epoch of optimisation, and an exact evaluation over all processes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from training.data import PictureDataset, evaluation_batches, training_batches
from training.distributed import Worker
from training.losses import Loss
from training.params import TrainParams


@dataclass(frozen=True)
class Outputs:
    """Results for a whole dataset, in its order. logits: `(N, C)` float32; losses: `(N,)` float32, unweighted."""

    logits: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    losses: np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def train_one_epoch(
    model: nn.Module,
    dataset: PictureDataset,
    optimiser: Optimizer,
    schedule: LRScheduler,
    loss_function: Loss,
    params: TrainParams,
    worker: Worker,
    epoch: int,
    num_workers: int,
) -> float:
    """Optimise over one shuffled epoch; return the mean training loss of this process."""
    model.train()
    batches = training_batches(
        dataset, epoch, params.batch_size, worker.rank, worker.world_size, params.seed, num_workers, params.sampling
    )
    num_steps = len(dataset) // params.batch_size
    losses = []
    for batch in tqdm(batches, f"epoch {epoch} train", num_steps, disable=not worker.is_main, leave=False):
        images, targets = batch.images.to(worker.device), batch.targets.to(worker.device)
        optimiser.zero_grad(set_to_none=True)
        loss = loss_function(model(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        losses.append(loss.detach())
    mean = float(torch.stack(losses).mean())
    if not np.isfinite(mean):
        raise FloatingPointError(f"the training loss of epoch {epoch} is {mean}: lower train.lr or train.head_lr")
    return mean


@torch.inference_mode()
def run_model(
    model: nn.Module, dataset: PictureDataset, batch_size: int, worker: Worker, what: str, num_workers: int = 0
) -> Outputs:
    """Run the model over every picture exactly once, over all processes; every process gets all results."""
    model.eval()
    loader = evaluation_batches(dataset, batch_size, worker.rank, worker.world_size, num_workers)
    logits, losses, indices = [], [], []
    for batch in tqdm(loader, what, disable=not worker.is_main, leave=False):
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
