"""Many workers share one journal: nothing is drawn twice, and what a killed worker left is tried again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState

from training.sweeps import study
from training.sweeps.search_space import SearchConfig
from training.sweeps.study import IDENTITY, RETRIES, RETRY_OF, SearchError, SearchStudy, open_study, read_study

REPOSITORY = Path(__file__).parents[3]
SPACE = {"train.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}
CLAIM_ALL = """
import sys
from pathlib import Path
from tests.training.sweeps.test_study import open_
shared = open_(Path(sys.argv[1]), trials=12)
while (trial := shared.claim()) is not None:
    trial.report(0.5, 1)
    shared.study.tell(trial, 0.5)
    print(trial.number)
"""


def open_(out_dir: Path, trials: int = 4, sampler: str = "random", identity: str = "same") -> SearchStudy:
    document = {"trials": trials, "max_retries": 2, "sampler": {"name": sampler}, "pruner": {"name": "none"}}
    config = SearchConfig.model_validate(document | {"space": SPACE})
    return open_study(out_dir, config, config.distributions(), identity)


def _leave_to_a_dead_worker(shared: SearchStudy, number: int, host: str | None = None) -> Path:
    heartbeat = shared.trial_dir(number) / "heartbeat"
    owner = json.loads(heartbeat.read_text()) | {"pid": 2**22 - 1, "started": "1"}
    heartbeat.write_text(json.dumps(owner | ({"host": host} if host else {})))
    return heartbeat


def test_three_workers_draw_together_what_one_would_draw_alone(tmp_path: Path) -> None:
    alone = open_(tmp_path / "alone", trials=12)
    while (trial := alone.claim()) is not None:
        alone.study.tell(trial, 0.5)
    command = [sys.executable, "-c", CLAIM_ALL, str(tmp_path / "together")]
    workers = [
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    printed = []
    for worker in workers:
        out, err = worker.communicate(timeout=600)
        assert worker.returncode == 0, err
        printed += out.split()
    assert sorted(map(int, printed)) == list(range(12))
    together = read_study(tmp_path / "together").get_trials()
    assert [t.params for t in together] == [t.params for t in alone.study.get_trials()]
    assert len({t.params["train.lr"] for t in together}) == 12


def test_a_killed_workers_values_are_tried_again_but_not_for_ever(tmp_path: Path) -> None:
    shared = open_(tmp_path, trials=1)
    first = shared.claim()
    assert first is not None
    for retries in (1, 2):
        _leave_to_a_dead_worker(shared, retries - 1)
        again = open_(tmp_path, trials=1).claim()
        assert again is not None
        assert again.number == retries
        assert again.params == first.params
        assert again.user_attrs[RETRIES] == retries
        assert again.user_attrs[RETRY_OF] == 0
    _leave_to_a_dead_worker(shared, 2)
    assert open_(tmp_path, trials=1).claim() is None
    assert [t.state for t in shared.study.get_trials()] == [TrialState.FAIL] * 3


def test_a_trial_of_a_living_worker_is_left_alone(tmp_path: Path) -> None:
    shared = open_(tmp_path, trials=2)
    numbers = [trial.number for trial in (shared.claim(), open_(tmp_path, trials=2).claim()) if trial]
    assert numbers == [0, 1]
    assert shared.claim() is None
    assert all(t.state == TrialState.RUNNING for t in shared.study.get_trials())


@pytest.mark.parametrize(("silence_s", "is_retried"), [(0.0, False), (study.STALE_AFTER_S + 60, True)])
def test_a_worker_of_another_machine_is_judged_by_its_heartbeat(
    tmp_path: Path, silence_s: float, is_retried: bool
) -> None:
    shared = open_(tmp_path, trials=1)
    shared.claim()
    heartbeat = _leave_to_a_dead_worker(shared, 0, host="another-machine")
    moment = heartbeat.stat().st_mtime - silence_s
    os.utime(heartbeat, (moment, moment))
    assert (shared.claim() is not None) == is_retried


def test_a_beat_is_seen_by_others(tmp_path: Path) -> None:
    shared = open_(tmp_path, trials=1)
    shared.claim()
    heartbeat = _leave_to_a_dead_worker(shared, 0, host="another-machine")
    os.utime(heartbeat, (0, 0))
    shared.beat(0)
    assert shared.claim() is None


def test_a_journal_whose_last_line_was_torn_is_read_on(tmp_path: Path) -> None:
    shared = open_(tmp_path)
    trial = shared.claim()
    assert trial is not None
    journal = tmp_path / study.JOURNAL_FILE
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":8,"worker_')
    again = open_(tmp_path)
    assert [t.params for t in again.study.get_trials()] == [trial.params]
    assert journal.read_bytes().startswith(whole)
    assert b'"worker_{' not in journal.read_bytes()


KILLED_WITH_BOTH_LOCKS = """
import os, signal, sys
from pathlib import Path
from training.sweeps import study
with study._lock(Path("search/claim")), study._held(study._journal_lock(Path("search") / study.JOURNAL_FILE)):
    os.kill(os.getpid(), signal.SIGKILL)
"""
GO_ON = """
import warnings
from pathlib import Path
from training.sweeps import study
from tests.training.sweeps.test_study import open_
study.JOURNAL_GRACE_S = study.CLAIM_GRACE_S = 1
warnings.simplefilter("ignore")  # Optuna finds a second little
print(open_(Path("search")).claim().number)
"""


def test_locks_of_a_killed_worker_are_broken_after_their_grace_period(tmp_path: Path) -> None:
    """In a folder named by a relative path, as the default is."""
    (tmp_path / "search").mkdir()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}

    def worker(code: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)

    killed = worker(KILLED_WITH_BOTH_LOCKS)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert {path.name for path in (tmp_path / "search").iterdir()} == {"claim.lock", f"{study.JOURNAL_FILE}.lock"}
    other = worker(GO_ON)
    assert other.stdout.split() == ["0"], other.stderr


def test_a_queued_trial_is_taken_once_and_keeps_its_identity_when_its_worker_was_killed(tmp_path: Path) -> None:
    shared, other = open_(tmp_path), open_(tmp_path)
    for one in (shared, other):
        one.queue([({"train.lr": 0.01}, "first")])
    trial = shared.claim()
    assert trial is not None
    assert (trial.params, trial.user_attrs[IDENTITY]) == ({"train.lr": 0.01}, "first")
    _leave_to_a_dead_worker(shared, 0)
    other.queue([({"train.lr": 0.01}, "first"), ({"train.lr": 0.02}, "second")])
    taken = [again for again in (other.claim(), shared.claim()) if again is not None]
    assert [(t.number, t.params["train.lr"], t.user_attrs[IDENTITY]) for t in taken] == [
        (1, 0.01, "first"), (2, 0.02, "second"),
    ]  # fmt: skip
    assert (taken[0].user_attrs[RETRY_OF], taken[0].user_attrs[RETRIES]) == (0, 1)
    assert "reason" not in taken[0].user_attrs


def test_seconds_of_a_run_are_those_of_all_attempts_at_it(tmp_path: Path) -> None:
    shared = open_(tmp_path, trials=1)
    first = shared.claim()
    assert first is not None
    start_s = shared.study.get_trials()[0].datetime_start.timestamp()  # type: ignore[union-attr]
    os.utime(_leave_to_a_dead_worker(shared, 0), (start_s + 100, start_s + 100))
    again = shared.claim()
    assert again is not None
    shared.study.tell(again, 0.5)
    assert 100 <= shared.seconds(shared.study.get_trials()[1]) < 160


def test_figures_of_another_space_or_data_are_not_mixed_in(tmp_path: Path) -> None:
    open_(tmp_path)
    with pytest.raises(SearchError, match="another --out"):
        open_(tmp_path, identity="other")


def test_tpe_goes_on_from_the_trials_of_the_journal(tmp_path: Path) -> None:
    """Past its random start it must look where values were high."""
    shared = open_(tmp_path, trials=40, sampler="tpe")
    while (trial := shared.claim()) is not None:
        shared.study.tell(trial, -abs(trial.params["train.lr"] - 0.02))
    values = [t.params["train.lr"] for t in shared.study.get_trials()]
    random, informed = values[:10], values[20:]
    near = [sum(0.01 < v < 0.04 for v in part) / len(part) for part in (random, informed)]
    assert near[1] > near[0] + 0.2
