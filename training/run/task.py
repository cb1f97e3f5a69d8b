"""What the engine asks of a task: each module of `training/tasks` has the functions of `Task`, and knows the rest."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from dataset.manifest import Manifest
from runtime.model.contract import ModelContract
from training.data.tensors import TrainingData
from training.network.classifier import Classifier
from training.network.losses import Loss
from training.params import Params
from training.process.distributed import Worker
from training.run.loop import FloatArray


@dataclass(frozen=True)
class Data:
    """What a run reads, and with how many loading processes."""

    train: TrainingData
    val: TrainingData
    num_workers: int


@dataclass(frozen=True)
class Measured:
    """What validation pictures say of an epoch.

    figures: what is logged. rank: the higher the better; the first number ends a phase early, all choose the best
    epoch; None where none is chosen, and the last is kept. logits: `(N, C)`, where the task answers with classes.
    """

    figures: dict[str, float]
    rank: tuple[float, ...] | None
    logits: FloatArray | None = None


class Task(Protocol):
    """The functions of a task's module."""

    def check(self, params: Params) -> None:
        """Raise ParamsError that names the key if one is set that the task has no use for."""

    def chooses(self, params: Params) -> bool:
        """Tell whether validation pictures choose an epoch, so that there must be some and they may not train."""

    def network(self, manifest: Manifest, train: Manifest, params: Params) -> tuple[Classifier, ModelContract]:
        """Return the untrained model with its contract; train: the rows of `manifest` that are trained on."""

    def targets(
        self, train: Manifest, val: Manifest, contract: ModelContract, params: Params
    ) -> tuple[TrainingData, TrainingData]:
        """Return pictures with what training compares with: changed at random for training, plain for validation."""

    def scores(self, model: Classifier) -> nn.Module:
        """Return what is trained: from `(n, height, width, 3)` uint8 to what the loss compares with targets."""

    def loss(self, train: TrainingData, contract: ModelContract, params: Params, device: torch.device) -> Loss:
        """Return what training minimises."""

    def measure(self, model: Classifier, data: Data, params: Params, worker: Worker, epoch: int) -> Measured | None:
        """Measure an epoch on validation pictures; None, or without a rank, where none is chosen by them."""

    def finish(
        self, model: Classifier, data: Data, contract: ModelContract, params: Params, worker: Worker,
        measured: Measured | None,
    ) -> tuple[ModelContract, dict[str, float]]:  # fmt: skip
        """Make the model of an epoch that is kept ready to answer; return its contract and more figures of it."""
