"""The run from its first phase to its last: epochs, their measurement, the best one kept, and where it can go on."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

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
from training.rng import random_states, restore_random_states
from training.run_state import StateDir
from training.signals import LeaveRequest, Requeue

logger = logging.getLogger(__name__)


class EpochLog(Protocol):
    """Where figures go; see training/tracking.py."""

    def log_epoch(self, epoch: int, metrics: dict[str, float], steps: list[dict[str, float]], last_step: int) -> None:
        """Take an epoch's figures and those of its steps, the last of which is the run's `last_step`-th."""

    def state(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Data:
    """What a run reads, and with how many loading processes."""

    train: PictureDataset
    val: PictureDataset
    num_workers: int


@dataclass
class Position:
    """How far the run is: counted from 0 but for `epoch`, the number of the epoch under way or just ended.

    phase_epochs: finished in this phase. epoch_steps: taken of the epoch under way, 0 between epochs. step: of the run.
    """

    phase: int = 0
    phase_epochs: int = 0
    epoch: int = 0
    epoch_steps: int = 0
    step: int = 0


@dataclass
class Keeping:
    """Where and when the run is saved, and whether it was asked to leave. every_steps: 0 saves after epochs only."""

    states: StateDir
    every_steps: int
    leaving: LeaveRequest


class Engine:
    """What is trained, how far it is, and the best epoch so far."""

    def __init__(
        self,
        model: Classifier,
        contract: ModelContract,
        data: Data,
        params: Params,
        loss_function: Loss,
        worker: Worker,
        epoch_log: EpochLog | None,  # of the main process only
        checkpoint_path: Path,
        keeping: Keeping,
    ) -> None:
        self._model, self._contract, self._data, self._params = model, contract, data, params
        self._loss_function, self._worker, self._epoch_log = loss_function, worker, epoch_log
        self._checkpoint_path, self._keeping = checkpoint_path, keeping
        train = params.train
        self._average = WeightAverage(model, train.ema_decay) if train.ema_decay > 0 else None
        self._best = (-1.0, float("-inf"))  # macro-F1, then minus the loss for ties
        self._best_file: str | None = None
        self._at = Position()
        self._num_steps = len(data.train) // train.batch_size  # of an epoch
        self._learner: Learner | None = None
        self._stopping = EarlyStopping(train.early_stopping_epochs)
        self._meter = EpochMeter()
        self._resumed: dict[str, Any] | None = None

    def run(self, state: dict[str, Any] | None) -> None:
        """Train all phases, or what a state leaves to do of them.

        Raises ParamsError if a phase does not fit the model, FloatingPointError if training diverges, Requeue if the
        run was asked to leave; it is saved then.
        """
        phases = self._params.train.phases
        for phase in phases:
            trainable_parameters(self._model, phase)  # a phase that cannot be is refused before the first one runs
        if state is None:
            self._save()
        else:
            self._restore(state)
        while self._at.phase < len(phases):
            phase = phases[self._at.phase]
            if self._at.phase_epochs < phase.epochs:
                self._run_phase(phase)
            self._at.phase, self._at.phase_epochs = self._at.phase + 1, 0

    def _run_phase(self, phase: PhaseParams) -> None:
        learner = self._learner = Learner(
            self._model, phase, self._params.train, phase.epochs * self._num_steps, self._loss_function, self._worker,
            self._average,
        )  # fmt: skip
        if self._resumed is not None and self._resumed["learner"] is not None:
            learner.restore(self._resumed["learner"])
        else:
            self._stopping = EarlyStopping(self._params.train.early_stopping_epochs)
        is_over = False
        while self._at.phase_epochs < phase.epochs and not is_over:
            score = self._run_epoch(learner)
            self._at.phase_epochs, self._at.epoch_steps = self._at.phase_epochs + 1, 0
            is_over = self._stopping.is_over(score)
            if is_over:
                logger.info("%d epochs brought nothing better: the phase ends", self._stopping.patience_epochs)
                self._at.phase_epochs = phase.epochs
            if self._at.phase_epochs == phase.epochs:
                self._learner = None  # the next phase begins with its own
            self._save_and_maybe_leave()

    def _run_epoch(self, learner: Learner) -> float:
        """Train and measure one epoch, or the rest of one; return its macro-F1."""
        at, train, worker = self._at, self._params.train, self._worker
        if at.epoch_steps == 0:
            at.epoch += 1
            self._meter = EpochMeter()
            self._restore_random_states()
        batches = training_batches(
            self._data.train, at.epoch, train.batch_size, worker.rank, worker.world_size, train.seed,
            self._data.num_workers, train.sampling, at.epoch_steps,
        )  # fmt: skip
        # PyTorch's loader draws a number when it is made, before the first step: the state was taken after that.
        self._restore_random_states()
        train_one_epoch(learner, batches, self._meter, at.step + 1, self._after_step)
        metrics = self._meter.summary(worker)
        if not metrics["train_loss"] < float("inf"):
            loss = metrics["train_loss"]
            raise FloatingPointError(f"the training loss of epoch {at.epoch} is {loss}: lower lr in train.phases")
        measured = self._model if self._average is None else self._average.model
        outputs = run_model(
            measured, self._data.val, train.batch_size, worker, f"epoch {at.epoch} val", self._data.num_workers
        )
        metrics |= self._measure(outputs)
        self._finish_epoch(measured, metrics, outputs)
        return metrics["val_macro_f1"]

    def _measure(self, outputs: Outputs) -> dict[str, float]:
        predicted = outputs.logits.argmax(axis=1)
        confusion = confusion_matrix(self._data.val.labels, predicted, len(self._contract.classes))
        headline = metrics_of_confusion(confusion).headline()
        return {"val_loss": float(outputs.losses.mean()), **{f"val_{name}": value for name, value in headline.items()}}

    def _finish_epoch(self, measured: Classifier, metrics: dict[str, float], outputs: Outputs) -> None:
        epoch, rank = self._at.epoch, (metrics["val_macro_f1"], -metrics["val_loss"])
        steps = self._meter.steps(self._worker)
        is_best = rank > self._best
        if is_best:
            self._best, self._best_file = rank, f"best-{epoch:06d}.pt"
        if self._epoch_log is None:
            return
        if is_best:
            state = {name: tensor.detach().cpu().contiguous() for name, tensor in measured.state_dict().items()}
            temperature = fit_temperature(outputs.logits, self._data.val.labels)
            contract = self._contract.model_copy(update={"temperature": temperature})
            params = self._params.model_dump(mode="json")
            best_path = self._keeping.states.path / str(self._best_file)
            Checkpoint(state, contract, params, epoch, metrics).save(best_path)
            self._keeping.states.publish(best_path, self._checkpoint_path)
        self._epoch_log.log_epoch(epoch, metrics, steps, self._at.step)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        logger.info("epoch %d: %s%s", epoch, figures, " (best so far)" if is_best else "")

    def _after_step(self) -> None:
        self._at.step += 1
        self._at.epoch_steps += 1
        every = self._keeping.every_steps
        self._save_and_maybe_leave(is_due=every > 0 and self._at.step % every == 0)

    def _save_and_maybe_leave(self, is_due: bool = True) -> None:
        is_leaving = self._worker.any(self._keeping.leaving.is_made)
        if is_due or is_leaving:
            self._save()
        if is_leaving:
            raise Requeue(f"asked to leave after step {self._at.step} in epoch {self._at.epoch}; saved")

    def _save(self) -> None:
        """Gather what each process has of its own, and write the state in the main process."""
        ranks = self._worker.gather_objects({"random": random_states(), "meter": self._meter.state()})
        if self._epoch_log is None:
            return
        document = {
            "at": asdict(self._at),
            "model": self._model.state_dict(),
            "average": None if self._average is None else self._average.model.state_dict(),
            "learner": None if self._learner is None else self._learner.state(),
            "stopping": asdict(self._stopping),
            "best": list(self._best),
            "best_file": self._best_file,
            "log": self._epoch_log.state(),
            "ranks": ranks,
        }
        self._keeping.states.save(self._at.step, document)

    def _restore(self, state: dict[str, Any]) -> None:
        self._at = Position(**state["at"])
        self._model.load_state_dict(state["model"])
        if self._average is not None:
            self._average.model.load_state_dict(state["average"])
        self._stopping = EarlyStopping(**state["stopping"])
        self._best, self._best_file = (state["best"][0], state["best"][1]), state["best_file"]
        self._meter.restore(state["ranks"][self._worker.rank]["meter"])
        self._resumed = state
        if self._epoch_log is not None and self._best_file is not None:
            self._keeping.states.publish(self._keeping.states.path / self._best_file, self._checkpoint_path)
        logger.info("resuming after step %d in epoch %d", self._at.step, max(1, self._at.epoch))

    def _restore_random_states(self) -> None:
        """Go on drawing where the state was taken, once: between epochs, or within the one under way."""
        if self._resumed is not None:
            restore_random_states(self._resumed["ranks"][self._worker.rank]["random"])
            self._resumed = None
