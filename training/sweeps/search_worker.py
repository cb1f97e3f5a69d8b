"""One worker of a search: takes a trial, trains it in a child process, watches its figures, keeps it or gives it up."""

import logging
import subprocess
from dataclasses import dataclass
from pathlib import Path

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from runtime.interruption import INTERRUPTED
from training.process.signals import REQUEUE
from training.records.tracking import TrackingError, mark_killed
from training.sweeps.child_run import drop_state, last_words, read_log, start_training, stop_child, take_over_state
from training.sweeps.study import GOES_ON, REASON, SearchError, SearchStudy
from training.sweeps.yaml_edit import edit_yaml

POLL_S = 0.5
FAILURES_IN_A_ROW = 3  # after so many failed trials something is wrong that no values mend
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What a trial is made from, besides its own values."""

    params_text: str
    manifest: Path


class _LostError(Exception):
    """Another worker took this one for dead and the trial from it."""


def work(shared: SearchStudy, recipe: Recipe) -> None:
    """Run trials until none is left. Raises SearchError if several in a row fail."""
    num_failed = 0
    while (trial := shared.claim()) is not None:
        failure = _run_trial(shared, recipe, trial)
        num_failed = num_failed + 1 if failure else 0
        if num_failed == FAILURES_IN_A_ROW:
            raise SearchError(f"{num_failed} trials in a row failed, the last with: {failure}")


def _run_trial(shared: SearchStudy, recipe: Recipe, trial: Trial) -> str:
    """Train with the trial's values and tell the study; return why it failed, or nothing."""
    folder = shared.trial_dir(trial.number)
    params_path = folder / "params.yaml"
    params_path.write_text(edit_yaml(recipe.params_text, trial.params), encoding="utf-8")
    if (stopped := trial.user_attrs.get(GOES_ON)) is not None:
        take_over_state(shared.trial_dir(stopped), folder)
    child = None
    watch = _Watch(shared, trial, folder)
    try:
        # A SIGTERM while it starts finds no child to stop here; the kernel ends it with this process.
        child = start_training(params_path, recipe.manifest, folder)
        is_pruned = watch.until_end(child)
        if not is_pruned and child.returncode in (REQUEUE, INTERRUPTED):
            shared.fail(trial.number, "it was told to stop", retry=True)
            return ""
        if not is_pruned and (child.returncode or not watch.values):
            reason = last_words(folder) if child.returncode else f"it logged no {shared.config.metric}"
            drop_state(folder)
            shared.fail(trial.number, reason, retry=False)
            logger.info("trial %d failed: %s", trial.number, reason)
            return reason
        if is_pruned:
            stop_child(child)  # it saves once more
            drop_state(folder)
        watch.tell(is_pruned)
    except (_LostError, UpdateFinishedTrialError):
        logger.info("trial %d was taken over by another worker", trial.number)
    except BaseException:
        # Ctrl-C, SIGTERM or a bug: another worker shall not wait for the heartbeat to go stale.
        if shared.is_running(trial.number):
            shared.fail(trial.number, "its worker was stopped", retry=True)
        raise
    finally:
        if child is not None:
            stop_child(child)
        watch.close()
    return ""


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

    def tell(self, is_pruned: bool) -> None:
        best = max(self.values.values())
        if is_pruned:
            self._trial.set_user_attr(REASON, f"pruned after epoch {max(self.values)}")
            self._shared.study.tell(self._trial, state=TrialState.PRUNED)
        else:
            self._shared.study.tell(self._trial, best)
        name = self._shared.config.metric
        logger.info("trial %d: %s %.4f%s", self._trial.number, name, best, " (given up)" if is_pruned else "")

    def close(self) -> None:
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
            self._trial.set_user_attr("mlflow_run_id", self._run_id)
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
