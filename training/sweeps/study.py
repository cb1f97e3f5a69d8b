"""The study that all workers of a search or an ablation share: one Optuna journal file, a folder for each trial.

Optuna's journal storage has no heartbeat, so a worker keeps one itself: the file `heartbeat` in the folder of the trial
that it runs. A running trial whose heartbeat has stopped belongs to a worker that was killed; it fails, and the same
values wait to be tried again. Everything lies in files on purpose: many workers, also of several machines with one
file system, need no server.
"""

import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from training.process.child_run import read_log
from training.sweeps.search_space import PrunerParams, SamplerParams, TrialParams

JOURNAL_FILE = "journal.log"
STUDY = "search"
STALE_AFTER_S = 120.0  # a heartbeat of another machine; one of this machine is judged by its process
# User attributes of a trial. A retry repeats the first of its kind and goes on where the last one was stopped.
RETRY_OF, GOES_ON, RETRIES, REASON, WORKER = "retry_of", "goes_on", "retries", "reason", "worker"
RUN_ID = "mlflow_run_id"
JOURNAL_GRACE_S = 30  # a lock that is still the same after this long belongs to a worker that was killed
CLAIM_GRACE_S = 120  # longer: who holds the claim may have to wait until a dead worker's lock of the journal is broken
IDENTITY = "identity"  # user attribute of the study, and of a queued trial: what its figures depend on
_OF_ONE_ATTEMPT = {REASON, WORKER, RUN_ID}  # what a retry does not take over


class SearchError(ValueError):
    """A search that cannot go on; the message says what to do."""


@dataclass(frozen=True)
class SearchStudy:
    """An open study and what it may do. `out_dir` holds the journal and `trials/0000`, `trials/0001`, ..."""

    study: optuna.Study
    config: TrialParams
    distributions: dict[str, BaseDistribution]
    out_dir: Path

    def trial_dir(self, number: int) -> Path:
        return trial_dir(self.out_dir, number)

    def claim(self) -> Trial | None:
        """Take the next trial: one that waits to be tried again, or a new one; None if none is left.

        One worker at a time, so that there are never more than `config.trials`.
        """
        with _lock(self.out_dir / "claim"):
            self._fail_stale()
            trials = self.study.get_trials(deepcopy=False)
            waiting = [t for t in trials if t.state == TrialState.WAITING]
            num_drawn = sum(RETRY_OF not in trial.user_attrs for trial in trials)
            if not waiting and num_drawn >= self.config.trials:
                return None
            # Its own seed for each trial: a random search draws the same trials whoever runs them.
            self.study.sampler = _sampler(self.config.sampler, num_drawn)
            trial = self.study.ask(self.distributions)
            trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
            self.trial_dir(trial.number).mkdir(parents=True, exist_ok=True)
            _heartbeat_path(self.trial_dir(trial.number)).write_text(json.dumps(_this_process()), encoding="utf-8")
            return trial

    def queue(self, trials: Iterable[tuple[Mapping[str, Any], str]]) -> None:
        """Queue trials of given values, each with its identity, that nobody has finished, runs or has queued."""
        with _lock(self.out_dir / "claim"):
            self._fail_stale()
            known = set()
            for trial in self.study.get_trials(deepcopy=False):
                is_lost = trial.state == TrialState.COMPLETE and not read_log(self.trial_dir(trial.number))
                if trial.state != TrialState.FAIL and not is_lost:
                    known.add(trial.user_attrs.get(IDENTITY))
            for values, identity in trials:
                if identity not in known:
                    self.study.enqueue_trial(dict(values), user_attrs={IDENTITY: identity})

    def beat(self, number: int) -> None:
        """Say that the trial's worker is alive."""
        os.utime(_heartbeat_path(self.trial_dir(number)))

    def seconds(self, trial: FrozenTrial) -> float:
        """Return how long a run took, from start to last beat, with all attempts that it went on from."""
        trials, attempts = self.study.get_trials(deepcopy=False), [trial.number]
        while (number := trials[attempts[-1]].user_attrs.get(GOES_ON)) is not None:
            attempts.append(number)
        starts = {number: trials[number].datetime_start for number in attempts}
        beats = {number: _heartbeat_path(self.trial_dir(number)).stat().st_mtime for number in attempts}
        return sum(beats[number] - start.timestamp() for number, start in starts.items() if start)

    def is_running(self, number: int) -> bool:
        """Whether a trial still belongs to its worker; another may have taken it for dead."""
        return self.study.get_trials(deepcopy=False)[number].state == TrialState.RUNNING

    def fail(self, number: int, reason: str, retry: bool) -> None:
        """End a trial without a value; `retry` queues its values again, up to `max_retries` times."""
        trial = self.study.get_trials(deepcopy=False)[number]
        retries = trial.user_attrs.get(RETRIES, 0)
        self.study._storage.set_trial_user_attr(trial._trial_id, REASON, reason)
        self.study.tell(number, state=TrialState.FAIL)
        if retry and retries < self.config.max_retries:
            attributes = {key: value for key, value in trial.user_attrs.items() if key not in _OF_ONE_ATTEMPT}
            attributes |= {RETRY_OF: attributes.get(RETRY_OF, number), GOES_ON: number, RETRIES: retries + 1}
            self.study.enqueue_trial(trial.params, user_attrs=attributes)

    def _fail_stale(self) -> None:
        probe = self.out_dir / "clock"
        probe.touch()
        now = probe.stat().st_mtime  # of the file system, as the heartbeats: machines' clocks differ
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not _is_alive(self.trial_dir(trial.number), now):
                self.fail(trial.number, "its worker was killed", retry=True)


def open_study(
    out_dir: Path, config: TrialParams, distributions: dict[str, BaseDistribution], identity: str
) -> SearchStudy:
    """Open the study in `out_dir`, or begin it.

    identity: what all trials' figures depend on (space, metric, other params, data). Raises SearchError if the study
    was begun with another.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    with _lock(out_dir / "claim"):
        _drop_torn_line(out_dir / JOURNAL_FILE)
        study = optuna.create_study(
            storage=_storage(out_dir), study_name=STUDY, direction="maximize", load_if_exists=True,
            pruner=_pruner(config.pruner),
        )  # fmt: skip
        if study.user_attrs.setdefault(IDENTITY, identity) != identity:
            raise SearchError(
                f"the search in {out_dir} was begun with another space, metric, params file or data; its figures and "
                "new ones cannot be compared: choose another --out"
            )
        study.set_user_attr(IDENTITY, identity)
    return SearchStudy(study, config, distributions, out_dir)


def read_study(out_dir: Path) -> optuna.Study:
    """Open the study in `out_dir` to look at it. Raises SearchError if there is none."""
    if not (out_dir / JOURNAL_FILE).is_file():
        raise SearchError(f"there is no search in {out_dir}: run `python -m training.search`, or name it by --out")
    return optuna.load_study(study_name=STUDY, storage=_storage(out_dir))


def trial_dir(out_dir: Path, number: int) -> Path:
    return out_dir / "trials" / f"{number:04d}"


def best_trial(study: optuna.Study) -> FrozenTrial:
    """Return the finished trial with the highest value. Raises SearchError if none has finished."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        raise SearchError("no trial has finished yet")
    return max(finished, key=lambda trial: (trial.value, -trial.number))


def _storage(out_dir: Path) -> JournalStorage:
    journal = out_dir / JOURNAL_FILE
    return JournalStorage(JournalFileBackend(str(journal), _journal_lock(journal)))


def _sampler(params: SamplerParams, trial_index: int) -> BaseSampler:
    seed = int(np.random.SeedSequence([params.seed, trial_index]).generate_state(1)[0])
    if params.name == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=params.startup_trials)


def _pruner(params: PrunerParams) -> BasePruner:
    if params.name == "median":
        return MedianPruner(params.startup_trials, params.warm_up_epochs)
    if params.name == "halving":
        return SuccessiveHalvingPruner(
            min_resource=max(1, params.warm_up_epochs), reduction_factor=2, bootstrap_count=params.startup_trials
        )
    return NopPruner()


def _journal_lock(journal: Path) -> JournalFileOpenLock:
    """Return the lock that all who write to the journal take.

    Not Optuna's default, a symbolic link: whether that is abandoned is judged by the file it leads to, which says
    nothing of the lock's age and is missing for a relative path; a dead worker's lock is then waited for without end.
    """
    return JournalFileOpenLock(str(journal), JOURNAL_GRACE_S)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold Optuna's own lock, a file `path`.lock made with O_EXCL, which NFS knows from version 3 on.

    A lock left by a killed worker is broken after `CLAIM_GRACE_S`.
    """
    with _held(JournalFileOpenLock(str(path), CLAIM_GRACE_S)):
        yield


@contextmanager
def _held(lock: JournalFileOpenLock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _drop_torn_line(journal: Path) -> None:
    """Remove a last line without an end: its writer's machine died in it, and Optuna would never read on."""
    if not journal.is_file() or journal.read_bytes()[-1:] in (b"", b"\n"):
        return
    with _held(_journal_lock(journal)):
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(journal, whole)


def _heartbeat_path(folder: Path) -> Path:
    return folder / "heartbeat"


def _this_process() -> dict[str, str | int]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _start_time(os.getpid())}


def _is_alive(folder: Path, now: float) -> bool:
    path = _heartbeat_path(folder)
    try:
        owner, beat = json.loads(path.read_text(encoding="utf-8")), path.stat().st_mtime
    except (FileNotFoundError, json.JSONDecodeError):  # killed between taking the trial and its first beat
        return False
    if owner["host"] == socket.gethostname():
        return bool(owner["started"] == _start_time(owner["pid"]))
    return now - beat < STALE_AFTER_S


def _start_time(pid: int) -> str:
    """Return when a process started, in ticks after boot; empty if there is none. Tells a reused id from its owner."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]
