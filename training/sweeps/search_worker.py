"""A worker of a search or an ablation: takes a trial, trains it in a child process, watches its figures, and keeps it
or gives it up.
"""

import logging
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from project.interruption import INTERRUPTED
from runtime.model.roles import Role
from training.process.child_run import drop_state, last_words, read_log, start_training, stop_child, take_over_state
from training.process.signals import REQUEUE
from training.records.tracking import TrackingError, mark_killed
from training.sweeps.study import GOES_ON, REASON, RUN_ID, SearchStudy

POLL_S = 0.5
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What trials are made from.

    params_text: the params file of a trial; None if nobody wants it any more. name: what the trial is called in
    messages. on_end: is told why a trial failed, if it did, and the exit status of its training; raises to stop.
    """

    manifest: Path
    params_text: Callable[[Trial], str | None]
    name: Callable[[Trial], str]
    on_end: Callable[[Trial, str, int], None]
    task: Role = "classification"


class _LostError(Exception):
    """Another worker took this one for dead and the trial from it."""


def work(shared: SearchStudy, recipe: Recipe) -> None:
    """Run trials until none is left."""
    with handing_back_on_sigterm():
        while (trial := shared.claim()) is not None:
            recipe.on_end(trial, *_run_trial(shared, recipe, trial))


@contextmanager
def handing_back_on_sigterm() -> Iterator[None]:
    """Leave at SIGTERM as after Ctrl-C, so that children are ended and trials handed back."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_trial(shared: SearchStudy, recipe: Recipe, trial: Trial) -> tuple[str, int]:
    """Train with the trial's values and tell the study; return why it failed, or nothing, and training's status."""
    folder, name = shared.trial_dir(trial.number), recipe.name(trial)
    if (text := recipe.params_text(trial)) is None:
        shared.fail(trial.number, "it was queued for other params or other data", retry=False)
        return "", 0
    params_path = folder / "params.yaml"
    params_path.write_text(text, encoding="utf-8")
    if (stopped := trial.user_attrs.get(GOES_ON)) is not None:
        take_over_state(shared.trial_dir(stopped), folder)
    child = None
    watch = _Watch(shared, trial, folder)
    try:
        # A SIGTERM while it starts finds no child to stop here; the kernel ends it with this process.
        child = start_training(params_path, recipe.manifest, folder, recipe.task)
        is_pruned = watch.until_end(child)
        if not is_pruned and child.returncode in (REQUEUE, INTERRUPTED):
            shared.fail(trial.number, "it was told to stop", retry=True)
            return "", 0
        if not is_pruned and (child.returncode or not watch.values):
            reason = last_words(folder) if child.returncode else f"it logged no {shared.config.metric}"
            drop_state(folder)
            shared.fail(trial.number, reason, retry=False)
            logger.info("%s failed: %s", name, reason)
            return reason, child.returncode
        if is_pruned:
            stop_child(child)  # it saves once more
            drop_state(folder)
        best, metric = watch.tell(is_pruned), shared.config.metric
        logger.info("%s: %s %.4f%s", name, metric, best, " (given up)" if is_pruned else "")
    except (_LostError, UpdateFinishedTrialError):
        logger.info("%s was taken over by another worker", name)
    except BaseException:
        # Ctrl-C, SIGTERM or a bug: another worker shall not wait for the heartbeat to go stale.
        if shared.is_running(trial.number):
            shared.fail(trial.number, "its worker was stopped", retry=True)
        raise
    finally:
        if child is not None:
            stop_child(child)
            if child.returncode:
                watch.mark_killed()
    return "", 0


class _Watch:
    """Follows a run's figures from its log into the study; MLflow has them too, but may be away for a while."""

    def __init__(self, shared: SearchStudy, trial: Trial, folder: Path) -> None:
        self._shared = shared
        self._trial = trial
        self._folder = folder
        self._run_id = ""
        self.values: dict[int, float] = {}

    def until_end(self, child: subprocess.Popen[bytes]) -> bool:
        """Watch until the run ends or is given up; return whether it is given up."""
        while True:
            has_ended = _wait(child)
            self._shared.beat(self._trial.number)
            num_known = len(self.values)
            is_given_up = self._report_new(may_prune=not has_ended)
            if len(self.values) > num_known and not self._shared.is_running(self._trial.number):
                raise _LostError
            if is_given_up:
                return True
            if has_ended:
                return False

    def tell(self, is_pruned: bool) -> float:
        """End the trial with the value of its best epoch, and return that."""
        best = max(self.values.values())
        if is_pruned:
            self._trial.set_user_attr(REASON, f"pruned after epoch {max(self.values)}")
            self._shared.study.tell(self._trial, state=TrialState.PRUNED)
        else:
            self._shared.study.tell(self._trial, best)
        return best

    def mark_killed(self) -> None:
        """Say in MLflow, of a run that did not end by itself, that it is over."""
        if self._run_id:
            try:
                mark_killed(self._run_id)
            except TrackingError as exc:
                logger.warning("%s", exc)

    def _report_new(self, may_prune: bool) -> bool:
        """Report epochs that the study does not know; return whether the pruner gives the trial up at one of them.

        It is asked at each epoch: at a later one there may be no other trial to compare with.
        """
        records = read_log(self._folder)
        if len(records) <= len(self.values):
            return False
        if not self._run_id:
            self._run_id = str(records[0]["run_id"])
            self._trial.set_user_attr(RUN_ID, self._run_id)
        for record in records:
            step, value = int(record["epoch"]), record.get(self._shared.config.metric)
            if step not in self.values and value is not None:
                self._trial.report(value, step)
                self.values[step] = value
                if may_prune and self._trial.should_prune():
                    return True
        return False


def _wait(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return False
    return True
