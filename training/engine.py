"""The run from its first phase to its last: epochs, their measurement, and the best one kept."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evaluation.metrics import confusion_matrix, metrics_of_confusion
from evaluation.temperature import fit_temperature
from runtime.contract import ModelContract
from training.checkpoint import Checkpoint
from training.data import PictureDataset, training_batches
from training.distributed import Worker
from training.early_stopping import EarlyStopping
from training.ema import WeightAverage
from training.engine_params import PhaseParams
from training.learner import Learner
from training.loop import Outputs, run_model, train_one_epoch
from training.losses import Loss
from training.meter import EpochMeter
from training.model import Classifier
from training.optimiser import trainable_parameters
from training.params import Params

logger = logging.getLogger(__name__)


class EpochLog(Protocol):
    """Where an epoch's figures go; see training/tracking.py."""

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None: ...


@dataclass(frozen=True)
class Data:
    """What a run reads, and with how many loading processes."""

    train: PictureDataset
    val: PictureDataset
    num_workers: int


@dataclass
class Engine:
    """What is trained, how far it is, and the best epoch so far."""

    model: Classifier
    contract: ModelContract
    data: Data
    params: Params
    loss_function: Loss
    worker: Worker
    epoch_log: EpochLog | None  # of the main process only
    checkpoint_path: Path

    def __post_init__(self) -> None:
        train = self.params.train
        self.average = WeightAverage(self.model, train.ema_decay) if train.ema_decay > 0 else None
        self.best = (-1.0, float("-inf"))  # macro-F1, then minus the loss for ties
        self.epoch = 0
        self.step = 0
        self.num_steps = len(self.data.train) // train.batch_size  # of an epoch

    def run(self) -> None:
        """Train all phases. Raises ParamsError if one does not fit the model, FloatingPointError if it diverges."""
        for phase in self.params.train.phases:
            trainable_parameters(self.model, phase)  # a phase that cannot be is refused before the first one runs
        for phase in self.params.train.phases:
            if phase.epochs:
                self._run_phase(phase)

    def _run_phase(self, phase: PhaseParams) -> None:
        learner = Learner(
            self.model, phase, self.params.train, phase.epochs * self.num_steps, self.loss_function, self.worker,
            self.average,
        )  # fmt: skip
        stopping = EarlyStopping(self.params.train.early_stopping_epochs)
        for _ in range(phase.epochs):
            self.epoch += 1
            score = self._run_epoch(learner)
            if stopping.is_over(score):
                logger.info("%d epochs brought nothing better: the phase ends", stopping.patience_epochs)
                break

    def _run_epoch(self, learner: Learner) -> float:
        """Train and measure one epoch; return its macro-F1."""
        train, meter = self.params.train, EpochMeter()
        batches = training_batches(
            self.data.train, self.epoch, train.batch_size, self.worker.rank, self.worker.world_size, train.seed,
            self.data.num_workers, train.sampling,
        )  # fmt: skip
        train_one_epoch(learner, batches, meter, self.step + 1, self._after_step)
        metrics = {**meter.summary(self.worker), "lr": learner.lr}
        if not metrics["train_loss"] < float("inf"):
            loss = metrics["train_loss"]
            raise FloatingPointError(f"the training loss of epoch {self.epoch} is {loss}: lower lr in train.phases")
        measured = self.model if self.average is None else self.average.model
        outputs = run_model(
            measured, self.data.val, train.batch_size, self.worker, f"epoch {self.epoch} val", self.data.num_workers
        )
        metrics |= self._measure(outputs)
        self._finish_epoch(measured, metrics, outputs)
        return metrics["val_macro_f1"]

    def _after_step(self) -> None:
        self.step += 1

    def _measure(self, outputs: Outputs) -> dict[str, float]:
        predicted = outputs.logits.argmax(axis=1)
        confusion = confusion_matrix(self.data.val.labels, predicted, len(self.contract.classes))
        headline = metrics_of_confusion(confusion).headline()
        return {"val_loss": float(outputs.losses.mean()), **{f"val_{name}": value for name, value in headline.items()}}

    def _finish_epoch(self, measured: Classifier, metrics: dict[str, float], outputs: Outputs) -> None:
        rank = (metrics["val_macro_f1"], -metrics["val_loss"])
        is_best = rank > self.best
        self.best = max(self.best, rank)
        if self.epoch_log is None:
            return
        self.epoch_log.log_epoch(self.epoch, metrics)
        if is_best:
            state = {name: tensor.detach().cpu().contiguous() for name, tensor in measured.state_dict().items()}
            temperature = fit_temperature(outputs.logits, self.data.val.labels)
            contract = self.contract.model_copy(update={"temperature": temperature})
            Checkpoint(state, contract, self.params.model_dump(mode="json"), self.epoch, metrics).save(
                self.checkpoint_path
            )
        figures = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        logger.info("epoch %d: %s%s", self.epoch, figures, " (best so far)" if is_best else "")
