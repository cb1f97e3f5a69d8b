"""The run of mask training through its phases, and where it can go on.

An epoch is EPOCH_STEPS steps, or what a phase has left: figures are logged and the run is saved after each. Nothing is
measured on validation pictures between, since nothing is chosen by them.
"""

import logging
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dataset.progress import progress
from training.network.classifier import Classifier
from training.params import TrainParams
from training.process.distributed import Worker
from training.run.keeping import EpochLog, Keeper, Keeping
from training.tasks.mask_data import MaskedPictures
from training.tasks.mask_params import MaskParams, MaskPhase
from training.tasks.mask_phase import MaskLearner, phase_batches

EPOCH_STEPS = 50
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskData:
    """What a run reads, and with how many loading processes."""

    pictures: MaskedPictures
    defects: tuple[str, ...]
    num_workers: int


class MaskEngine:
    """What is trained, and how far it is."""

    def __init__(
        self,
        model: Classifier,
        data: MaskData,
        params: MaskParams,
        train: TrainParams,
        worker: Worker,
        epoch_log: EpochLog | None,  # of the main process only
        keeping: Keeping,
    ) -> None:
        self._model, self._data, self._params, self._train, self._worker = model, data, params, train, worker
        self._epoch_log = epoch_log
        self._keeper = Keeper(keeping, worker, epoch_log, self._state)
        self._learner: MaskLearner | None = None
        self._resumed_learner: dict[str, Any] | None = None

    def run(self, state: dict[str, Any] | None) -> None:
        """Train all phases, or what a state leaves to do of them; the last epoch waits for `log_last_epoch`.

        Raises FloatingPointError if training diverges, Requeue if the run was asked to leave; it is saved then.
        """
        if state is None:
            self._keeper.save()
        else:
            self._keeper.restore(state)
            self._model.load_state_dict(state["model"])
            self._resumed_learner = state["learner"]
        at = self._keeper.at
        while at.phase < len(self._params.phases):
            phase = self._params.phases[at.phase]
            if at.phase_epochs < _num_epochs(phase):
                self._run_phase(phase)
            at.phase, at.phase_epochs = at.phase + 1, 0

    def log_last_epoch(self, measured: dict[str, float]) -> dict[str, float]:
        """Log the last epoch together with what was measured after it; return all its figures."""
        metrics = self._keeper.meter.summary(self._worker) | measured
        self._log(metrics)
        return metrics

    @property
    def epoch(self) -> int:
        """The number of the epoch under way or just ended, from 1."""
        return self._keeper.at.epoch

    def _run_phase(self, phase: MaskPhase) -> None:
        keeper, at = self._keeper, self._keeper.at
        learner = MaskLearner(self._model, phase, self._params, self._train.weight_decay, self._worker)
        self._learner = learner
        if self._resumed_learner is not None:
            learner.restore(self._resumed_learner)
            self._resumed_learner = None
        data, num_taken = self._data, at.phase_epochs * EPOCH_STEPS + at.epoch_steps
        batches = phase_batches(
            data.pictures, data.defects, self._params, at.phase, self._train.seed, num_taken, self._worker,
            data.num_workers,
        )  # fmt: skip
        keeper.restore_random_states()
        while at.phase_epochs < _num_epochs(phase):
            if at.epoch_steps == 0:
                keeper.begin_epoch()
            num_left = min(EPOCH_STEPS, phase.steps - at.phase_epochs * EPOCH_STEPS) - at.epoch_steps
            shown = progress(
                islice(batches, num_left), f"epoch {at.epoch}", num_left, "step", leave=False,
                is_shown=self._worker.is_main,
            )  # fmt: skip
            for batch in keeper.meter.timed(shown):
                lr = learner.lr
                keeper.meter.add(*learner.step(batch), lr, len(batch.images))
                keeper.after_step()
            self._end_epoch(phase)

    def _end_epoch(self, phase: MaskPhase) -> None:
        """Log the epoch unless it is the run's last, step on, and save."""
        at = self._keeper.at
        metrics = self._keeper.meter.summary(self._worker)
        if not metrics["train_loss"] < float("inf"):
            raise FloatingPointError(f"the mask loss of epoch {at.epoch} is {metrics['train_loss']}: lower mask.lr")
        at.phase_epochs, at.epoch_steps = at.phase_epochs + 1, 0
        is_phase_over = at.phase_epochs == _num_epochs(phase)
        if not is_phase_over or phase is not self._params.phases[-1]:
            self._log(metrics)
        if is_phase_over:
            self._learner = None  # the next phase begins with its own
        self._keeper.save_and_maybe_leave()

    def _log(self, metrics: dict[str, float]) -> None:
        steps = self._keeper.meter.steps(self._worker)
        if self._epoch_log is None:
            return
        self._epoch_log.log_epoch(self.epoch, metrics, steps, self._keeper.at.step)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        logger.info("epoch %d, after step %d: %s", self.epoch, self._keeper.at.step, figures)

    def _state(self) -> dict[str, Any]:
        learner = None if self._learner is None else self._learner.state()
        return {"model": self._model.state_dict(), "learner": learner}


def _num_epochs(phase: MaskPhase) -> int:
    return -(-phase.steps // EPOCH_STEPS)
