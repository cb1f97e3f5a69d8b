"""Where a run is, and when that is saved: the same for every way of training."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from training.process.distributed import Worker
from training.process.rng import random_states, restore_random_states
from training.process.signals import LeaveRequest, Requeue
from training.run.figures import EpochFigures
from training.run.state import StateDir

logger = logging.getLogger(__name__)


class EpochLog(Protocol):
    """Where figures go; see training/records/run_log.py."""

    def log_epoch(self, epoch: int, metrics: dict[str, float], steps: list[dict[str, float]], last_step: int) -> None:
        """Take an epoch's figures and those of its steps, the last of which is the run's `last_step`-th."""

    def state(self) -> dict[str, Any]: ...


@dataclass
class Position:
    """How far the run is: counted from 0 but for `epoch`, the number of the epoch under way or just ended.

    phase_epochs: finished in this phase. epoch_steps, phase_steps: taken of the epoch under way, 0 between epochs, and
    of the phase. step: of the run.
    """

    phase: int = 0
    phase_epochs: int = 0
    epoch: int = 0
    epoch_steps: int = 0
    phase_steps: int = 0
    step: int = 0

    def end_epoch(self) -> None:
        self.phase_epochs, self.epoch_steps = self.phase_epochs + 1, 0

    def end_phase(self) -> None:
        self.phase, self.phase_epochs, self.phase_steps = self.phase + 1, 0, 0


@dataclass
class Keeping:
    """Where and when the run is saved, and whether it was asked to leave. every_steps: 0 saves after epochs only."""

    states: StateDir
    every_steps: int
    leaving: LeaveRequest


class Keeper:
    """Counts steps, saves what is needed to go on, and ends the run when it was asked to leave.

    own_state: what the way of training adds to a state; called in the main process only, which has the log.
    """

    def __init__(
        self, keeping: Keeping, worker: Worker, log: EpochLog | None, own_state: Callable[[], dict[str, Any]]
    ) -> None:
        self.at, self.figures = Position(), EpochFigures()
        self._keeping, self._worker, self._log, self._own_state = keeping, worker, log, own_state
        self._random_states: dict[str, Any] | None = None
        keeping.leaving.is_heeded = True

    def begin_epoch(self) -> None:
        self.at.epoch += 1
        self.figures = EpochFigures()

    def after_step(self) -> None:
        """Count a step, and save the run if that is due. Raises Requeue if the run was asked to leave."""
        self.at.step += 1
        self.at.epoch_steps += 1
        self.at.phase_steps += 1
        every = self._keeping.every_steps
        self.save_and_maybe_leave(is_due=every > 0 and self.at.step % every == 0)

    def save_and_maybe_leave(self, is_due: bool = True) -> None:
        is_leaving = self._worker.any(self._keeping.leaving.is_made)
        if is_due or is_leaving:
            self.save()
        if is_leaving:
            raise Requeue(f"asked to leave after step {self.at.step} in epoch {self.at.epoch}; saved")

    def save(self) -> None:
        """Gather what each process has of its own, and write the state in the main process."""
        ranks = self._worker.gather_objects({"random": random_states(), "figures": self.figures.state()})
        if self._log is not None:
            document = {"at": asdict(self.at), "log": self._log.state(), "ranks": ranks, **self._own_state()}
            self._keeping.states.save(self.at.step, document)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; the random generators wait for `restore_random_states`."""
        self.at = Position(**state["at"])
        own = state["ranks"][self._worker.rank]
        self.figures.restore(own["figures"])
        self._random_states = own["random"]
        logger.info("resuming after step %d in epoch %d", self.at.step, max(1, self.at.epoch))

    def restore_random_states(self) -> None:
        """Go on drawing where the state was taken, once: between epochs, or within the one under way."""
        if self._random_states is not None:
            restore_random_states(self._random_states)
            self._random_states = None
