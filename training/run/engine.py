"""The run from its first phase to its last: epochs, their measurement, the best one kept, and where it can go on."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset.progress import progress
from evaluation.statistics.metrics import confusion_matrix, metrics_of_confusion
from evaluation.statistics.temperature import fit_temperature
from runtime.model.contract import ModelContract
from training.data.tensors import PictureDataset, training_batches
from training.engine_params import PhaseParams
from training.network.classifier import Classifier
from training.network.ema import WeightAverage
from training.network.losses import Loss
from training.network.optimiser import trainable_parameters
from training.params import Params
from training.process.distributed import Worker
from training.run.checkpoint import Checkpoint
from training.run.early_stopping import EarlyStopping
from training.run.keeping import EpochLog, Keeper, Keeping
from training.run.learner import Learner
from training.run.loop import Outputs, run_model, train_one_epoch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """What a run reads, and with how many loading processes."""

    train: PictureDataset
    val: PictureDataset
    num_workers: int


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
        self._num_steps = len(data.train) // train.batch_size  # of an epoch
        self._learner: Learner | None = None
        self._stopping = EarlyStopping(train.early_stopping_epochs)
        self._keeper = Keeper(keeping, worker, epoch_log, self._state)
        self._resumed_learner: dict[str, Any] | None = None

    def run(self, state: dict[str, Any] | None) -> None:
        """Train all phases, or what a state leaves to do of them.

        Raises ParamsError if a phase does not fit the model, FloatingPointError if training diverges, Requeue if the
        run was asked to leave; it is saved then.
        """
        phases = self._params.train.phases
        for phase in phases:
            trainable_parameters(self._model, phase)  # a phase that cannot be is refused before the first one runs
        if state is None:
            self._keeper.save()
        else:
            self._restore(state)
        at = self._keeper.at
        while at.phase < len(phases):
            if at.phase_epochs < phases[at.phase].epochs:
                self._run_phase(phases[at.phase])
            at.phase, at.phase_epochs = at.phase + 1, 0

    def _run_phase(self, phase: PhaseParams) -> None:
        learner = self._learner = Learner(
            self._model, phase, self._params.train, phase.epochs * self._num_steps, self._loss_function, self._worker,
            self._average,
        )  # fmt: skip
        if self._resumed_learner is not None:
            learner.restore(self._resumed_learner)
            self._resumed_learner = None
        else:
            self._stopping = EarlyStopping(self._params.train.early_stopping_epochs)
        at, is_over = self._keeper.at, False
        while at.phase_epochs < phase.epochs and not is_over:
            score = self._run_epoch(learner)
            at.phase_epochs, at.epoch_steps = at.phase_epochs + 1, 0
            is_over = self._stopping.is_over(score)
            if is_over:
                logger.info("%d epochs brought nothing better: the phase ends", self._stopping.patience_epochs)
                at.phase_epochs = phase.epochs
            if at.phase_epochs == phase.epochs:
                self._learner = None  # the next phase begins with its own
            self._keeper.save_and_maybe_leave()

    def _run_epoch(self, learner: Learner) -> float:
        """Train and measure one epoch, or the rest of one; return its macro-F1."""
        at, train, worker = self._keeper.at, self._params.train, self._worker
        if at.epoch_steps == 0:
            self._keeper.begin_epoch()
            self._keeper.restore_random_states()
        batches = training_batches(
            self._data.train, self._planned_epoch(), train.batch_size, worker.rank, worker.world_size, train.seed,
            self._data.num_workers, train.sampling, at.epoch_steps,
        )  # fmt: skip
        # PyTorch's loader draws a number when it is made, before the first step: the state was taken after that.
        self._keeper.restore_random_states()
        num_left, is_main = self._num_steps - at.epoch_steps, worker.is_main
        shown = progress(batches, f"epoch {at.epoch}", num_left, "step", leave=False, is_shown=is_main)
        train_one_epoch(learner, shown, self._keeper.meter, at.step + 1, self._keeper.after_step)
        metrics = self._keeper.meter.summary(worker)
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

    def _planned_epoch(self) -> int:
        """Return which epoch this one would be, from 1, had no phase ended early: what an epoch draws depends on it.

        The number of epochs that ran says nothing of how many are left, and so not whether this is one of the last.
        """
        at = self._keeper.at
        return sum(phase.epochs for phase in self._params.train.phases[: at.phase]) + at.phase_epochs + 1

    def _measure(self, outputs: Outputs) -> dict[str, float]:
        predicted = outputs.logits.argmax(axis=1)
        confusion = confusion_matrix(self._data.val.labels, predicted, len(self._contract.classes))
        headline = metrics_of_confusion(confusion).headline()
        return {"val_loss": float(outputs.losses.mean()), **{f"val_{name}": value for name, value in headline.items()}}

    def _finish_epoch(self, measured: Classifier, metrics: dict[str, float], outputs: Outputs) -> None:
        epoch, rank = self._keeper.at.epoch, (metrics["val_macro_f1"], -metrics["val_loss"])
        steps = self._keeper.meter.steps(self._worker)
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
        self._epoch_log.log_epoch(epoch, metrics, steps, self._keeper.at.step)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        logger.info("epoch %d: %s%s", epoch, figures, " (best so far)" if is_best else "")

    def _state(self) -> dict[str, Any]:
        return {
            "model": self._model.state_dict(),
            "average": None if self._average is None else self._average.model.state_dict(),
            "learner": None if self._learner is None else self._learner.state(),
            "stopping": asdict(self._stopping),
            "best": list(self._best),
            "best_file": self._best_file,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._keeper.restore(state)
        self._model.load_state_dict(state["model"])
        if self._average is not None:
            self._average.model.load_state_dict(state["average"])
        self._stopping = EarlyStopping(**state["stopping"])
        self._best, self._best_file = (state["best"][0], state["best"][1]), state["best_file"]
        self._resumed_learner = state["learner"]
        if self._epoch_log is not None and self._best_file is not None:
            self._keeping.states.publish(self._keeping.states.path / self._best_file, self._checkpoint_path)
