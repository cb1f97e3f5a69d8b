"""What a worker makes of figures that it sees late, several epochs at once."""

import subprocess
from pathlib import Path

import pytest
from optuna.trial import TrialState

from training.sweeps import search_worker
from training.sweeps.search_space import SearchConfig
from training.sweeps.study import SearchStudy, open_study

LR = "train.phases.0.lr"
CONFIG = {
    "trials": 2,
    "sampler": {"name": "random", "seed": 0},
    "pruner": {"name": "median", "startup_trials": 1},
    "space": {LR: {"type": "float", "low": 0.001, "high": 0.01}},
}
FINISHED = {1: 0.5, 2: 0.6}


class Run:
    """A child process that ends by itself. num_looks: how often it still runs when it is looked at."""

    def __init__(self, num_looks: int) -> None:
        self.num_looks = num_looks

    def wait(self, timeout: float) -> int:
        self.num_looks -= 1
        if self.num_looks < 0:
            return 0
        raise subprocess.TimeoutExpired("run", timeout)


@pytest.fixture
def shared(tmp_path: Path) -> SearchStudy:
    """A study with one finished trial of two epochs."""
    config = SearchConfig.model_validate(CONFIG)
    study = open_study(tmp_path, config, config.distributions(), "identity")
    trial = study.claim()
    assert trial is not None
    for step, value in FINISHED.items():
        trial.report(value, step)
    study.study.tell(trial, max(FINISHED.values()))
    return study


def watched(
    shared: SearchStudy, values: list[float], num_looks: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[bool, TrialState, dict[int, float]]:
    """Let a worker see all values, one an epoch, at its first look: is it given up, its state, what the study knows."""
    records = [{"run_id": "1", "epoch": epoch, "val_macro_f1": value} for epoch, value in enumerate(values, 1)]
    monkeypatch.setattr(search_worker, "read_log", lambda _folder: records)
    trial = shared.claim()
    assert trial is not None
    watch = search_worker._Watch(shared, trial, shared.trial_dir(trial.number))
    is_given_up = watch.until_end(Run(num_looks))  # type: ignore[arg-type]
    watch.tell(is_given_up)
    told = shared.study.get_trials()[trial.number]
    return is_given_up, told.state, told.intermediate_values


def test_a_bad_trial_seen_after_the_last_epoch_of_the_others_is_given_up_where_it_was_bad(
    shared: SearchStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [0.5, 0.1, 0.1, 0.1, 0.1]
    assert watched(shared, values, 2, monkeypatch) == (True, TrialState.PRUNED, {1: 0.5, 2: 0.1})


def test_a_trial_that_has_ended_keeps_all_its_epochs(shared: SearchStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [0.1, 0.1, 0.9]
    assert watched(shared, values, 0, monkeypatch) == (False, TrialState.COMPLETE, {1: 0.1, 2: 0.1, 3: 0.9})
