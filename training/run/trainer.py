"""The run from its first phase to its last: epochs, their measurement, the best one kept, and where it can go on."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from project.progress import progress
from runtime.model.contract import ModelContract
from training.data.sampling import Part
from training.data.tensors import training_batches
from training.engine_params import PhaseParams
from training.network.classifier import Classifier
from training.network.ema import WeightAverage
from training.network.optimiser import trainable_parameters
from training.params import Params
from training.process.distributed import Worker
from training.run.checkpoint import Checkpoint
from training.run.early_stopping import EarlyStopping
from training.run.loop import train_one_epoch
from training.run.position import EpochLog, Keeper, Keeping
from training.run.step import Learner
from training.run.task import Data, Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """What is trained, on what, and as which task."""

    task: Task
    model: Classifier
    contract: ModelContract
    data: Data
    params: Params


class Trainer:
    """What is trained, how far it is, and the best epoch so far."""

    def __init__(
        self,
        subject: Subject,
        worker: Worker,
        epoch_log: EpochLog | None,  # of the main process only
        checkpoint_path: Path,
        keeping: Keeping,
    ) -> None:
        self._subject, self._worker, self._epoch_log = subject, worker, epoch_log
        self._checkpoint_path, self._keeping = checkpoint_path, keeping
        train = self._train = subject.params.train
        self._loss = subject.task.loss(subject.data.train, subject.contract, subject.params, worker.device)
        self._average = WeightAverage(subject.model, train.ema_decay) if train.ema_decay > 0 else None
        self._best: tuple[float, ...] = (float("-inf"),)  # of what the task ranks epochs by
        self._best_file: str | None = None
        self._pass_steps = len(subject.data.train) // train.batch_size
        self._learner: Learner | None = None
        self._stopping = EarlyStopping(train.early_stopping_epochs)
        self._keeper = Keeper(keeping, worker, epoch_log, self._state)
        self._resumed_learner: dict[str, Any] | None = None

    def run(self, state: dict[str, Any] | None) -> None:
        """Train all phases, or what a state leaves to do of them.

        Raises ParamsError if a phase does not fit the model, FloatingPointError if training diverges, Requeue if the
        run was asked to leave; it is saved then.
        """
        phases = self._train.phases
        for phase in phases:
            trainable_parameters(self._subject.model, phase)  # one that cannot be is refused before the first one runs
        if state is None:
            self._keeper.save()
        else:
            self._restore(state)
        at = self._keeper.at
        while at.phase < len(phases):
            if at.phase_epochs < phases[at.phase].num_epochs:
                self._run_phase(phases[at.phase])
            at.end_phase()

    def _run_phase(self, phase: PhaseParams) -> None:
        learner = self._learner = Learner(
            self._subject.model, self._subject.task.scores(self._subject.model), phase, self._train,
            phase.steps_before(phase.num_epochs, self._pass_steps), self._loss, self._worker, self._average,
        )  # fmt: skip
        if self._resumed_learner is not None:
            learner.restore(self._resumed_learner)
            self._resumed_learner = None
        else:
            self._stopping = EarlyStopping(self._train.early_stopping_epochs)
        at, is_over = self._keeper.at, False
        while at.phase_epochs < phase.num_epochs and not is_over:
            score = self._run_epoch(learner, phase)
            at.end_epoch()
            is_over = self._stopping.is_over(score)
            if is_over:
                logger.info("%d epochs brought nothing better: the phase ends", self._stopping.patience_epochs)
                at.phase_epochs = phase.num_epochs
            if at.phase_epochs == phase.num_epochs:
                self._learner = None  # the next phase begins with its own
            self._keeper.save_and_maybe_leave()

    def _run_epoch(self, learner: Learner, phase: PhaseParams) -> float:
        """Train and measure one epoch, or the rest of one; return its score, 0 where it has none."""
        at, train, worker, data = self._keeper.at, self._train, self._worker, self._subject.data
        if at.epoch_steps == 0:
            self._keeper.begin_epoch()
            self._keeper.restore_random_states()
        first = phase.steps_before(at.phase_epochs, self._pass_steps)
        part = Part(at.phase, first, phase.steps_before(at.phase_epochs + 1, self._pass_steps) - first)
        batches = training_batches(
            data.train, self._planned_epoch(), train.batch_size, worker.rank, worker.world_size, train.seed,
            data.num_workers, train.sampling, at.epoch_steps, part=part,
        )  # fmt: skip
        # PyTorch's loader draws a number when it is made, before the first step: the state was taken after that.
        self._keeper.restore_random_states()
        num_left, is_main = part.num_steps - at.epoch_steps, worker.is_main
        shown = progress(batches, f"epoch {at.epoch}", num_left, "step", leave=False, is_shown=is_main)
        train_one_epoch(learner, shown, self._keeper)
        metrics = self._keeper.figures.summary(worker)
        if not metrics["train_loss"] < float("inf"):
            loss = metrics["train_loss"]
            raise FloatingPointError(f"the training loss of epoch {at.epoch} is {loss}: lower lr in train.phases")
        return self._finish_epoch(metrics)

    def _planned_epoch(self) -> int:
        """Return which epoch this one would be, from 1, had no phase ended early: what an epoch draws depends on it.

        The number of epochs that ran says nothing of how many are left, and so not whether this is one of the last.
        """
        at = self._keeper.at
        return sum(phase.num_epochs for phase in self._train.phases[: at.phase]) + at.phase_epochs + 1

    def _finish_epoch(self, metrics: dict[str, float]) -> float:
        """Measure, keep and log an epoch; return its score."""
        epoch, subject = self._keeper.at.epoch, self._subject
        model = subject.model if self._average is None else self._average.model
        measured = subject.task.measure(model, subject.data, subject.params, self._worker, epoch)
        metrics |= measured.figures if measured else {}
        rank = measured.rank if measured else None
        is_kept = self._planned_epoch() == self._train.num_epochs if rank is None else rank > self._best
        if is_kept:
            self._best = self._best if rank is None else rank
            self._best_file = f"best-{epoch:06d}.pt"
            contract, more = subject.task.finish(
                model, subject.data, subject.contract, subject.params, self._worker, measured
            )
            metrics |= more
        steps = self._keeper.figures.steps(self._worker)
        if self._epoch_log is not None:
            if is_kept:
                self._keep(model, contract, metrics)
            self._epoch_log.log_epoch(epoch, metrics, steps, self._keeper.at.step)
            figures = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            logger.info("epoch %d: %s%s", epoch, figures, " (best so far)" if is_kept and rank else "")
        return rank[0] if rank else 0.0

    def _keep(self, model: Classifier, contract: ModelContract, metrics: dict[str, float]) -> None:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        params = self._subject.params.model_dump(mode="json", exclude_none=True)
        best_path = self._keeping.states.path / str(self._best_file)
        Checkpoint(state, contract, params, self._keeper.at.epoch, metrics).save(best_path)
        self._keeping.states.publish(best_path, self._checkpoint_path)

    def _state(self) -> dict[str, Any]:
        return {
            "model": self._subject.model.state_dict(),
            "average": None if self._average is None else self._average.model.state_dict(),
            "learner": None if self._learner is None else self._learner.state(),
            "stopping": asdict(self._stopping),
            "best": list(self._best),
            "best_file": self._best_file,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._keeper.restore(state)
        self._subject.model.load_state_dict(state["model"])
        if self._average is not None:
            self._average.model.load_state_dict(state["average"])
        self._stopping = EarlyStopping(**state["stopping"])
        self._best, self._best_file = tuple(state["best"]), state["best_file"]
        self._resumed_learner = state["learner"]
        if self._epoch_log is not None and self._best_file is not None:
            self._keeping.states.publish(self._keeping.states.path / self._best_file, self._checkpoint_path)
