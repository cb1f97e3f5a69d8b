"""A real search by real processes: killed, gone on with, pruned, written back."""

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.trial import TrialState

from tests.training import stand_in_training
from tests.training.conftest import TINY
from tests.training.records.mlflow_store import copy_empty_store
from tests.training.stand_in_training import BREAKS, IS_REFUSED, LEARNS, WAITS
from training import search
from training.params import Params
from training.sweeps import search_worker
from training.sweeps.study import REASON, RETRY_OF, read_study, trial_dir
from training.sweeps.yaml_edit import edit_yaml

REPOSITORY = Path(__file__).parent.parent.parent
PATIENCE_S = 600  # on a busy machine
# Seeded so that the first trial is short and learns, and the second is long and learns nothing: it must be given up.
EPOCHS, LR = "train.phases.0.epochs", "train.phases.0.lr"
# The short one must still train when it is killed, some moments after its first epoch.
NUM_EPOCHS = 12
GOOD, BAD = {EPOCHS: NUM_EPOCHS, LR: 0.01}, {EPOCHS: 300, LR: 1e-9}
SPACE: dict[str, Any] = {
    "trials": 2,
    "sampler": {"name": "random", "seed": 11},
    "pruner": {"name": "median", "startup_trials": 1},
    "space": {key: {"type": "categorical", "choices": [GOOD[key], BAD[key]]} for key in GOOD},
}


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _runs(pid: int, module: str) -> bool:
    try:
        return module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return False


def _kill_worker(worker: subprocess.Popen[bytes], trial: Path) -> None:
    """Kill the worker once its child trains and has saved in the trial's folder; neither may stay."""
    _until(lambda: any(_runs(pid, "training.train") for pid in _children(worker.pid)))
    _until(lambda: [*trial.glob("state/state-*.pt")])
    (child,) = _children(worker.pid)
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    _until(lambda: not _runs(child, "training.train"))


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}


def _set_up(folder: Path, data_dir: Path, space: dict[str, Any] = SPACE["space"], trials: int = 2) -> None:
    (folder / "data").symlink_to(data_dir)
    text = yaml.safe_dump(TINY, sort_keys=False).replace("train:\n", "# what a search changes\ntrain:\n", 1)
    params = edit_yaml(text, {"train.phases.1.epochs": 0, "contract.height": 32, "contract.width": 32})
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    (folder / "search.yaml").write_text(yaml.safe_dump(SPACE | {"space": space, "trials": trials}), encoding="utf-8")


@pytest.fixture(scope="module")
def project(tiny_tiles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a search whose first worker was killed while a trial trained, and whose second went on."""
    folder = tmp_path_factory.mktemp("search")
    copy_empty_store(folder / "mlflow.db")
    _set_up(folder, tiny_tiles_dir)
    environment = _environment(folder)
    command = [sys.executable, "-m", "training.search"]
    worker, trial = subprocess.Popen(command, cwd=folder, env=environment), trial_dir(folder / "artifacts/search", 0)
    _kill_worker(worker, trial)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_killed_workers_trial_is_trained_by_the_next_and_a_bad_one_is_given_up(project: Path) -> None:
    killed, again, pruned = read_study(project / "artifacts/search").get_trials()
    assert killed.params == again.params == GOOD
    assert (killed.state, again.state, pruned.state) == (TrialState.FAIL, TrialState.COMPLETE, TrialState.PRUNED)
    assert again.user_attrs[RETRY_OF] == 0
    assert killed.user_attrs[REASON] == "its worker was killed"
    assert pruned.params == BAD
    assert 1 <= len(pruned.intermediate_values) < 100


@pytest.mark.slow
def test_a_retry_goes_on_in_the_killed_run_and_no_state_is_left(project: Path) -> None:
    killed, again, pruned = (trial_dir(project / "artifacts/search", number) for number in range(3))
    assert "resuming after step" not in (killed / "child.log").read_text()
    assert "resuming after step" in (again / "child.log").read_text()
    assert not [*(project / "artifacts/search").rglob("state-*.pt")]
    assert (pruned / "checkpoint.pt").is_file()
    with sqlite3.connect(project / "mlflow.db") as database:
        assert database.execute("select count(*) from runs").fetchone() == (2,)


@pytest.mark.slow
def test_what_pruning_saw_is_what_mlflow_holds(project: Path) -> None:
    *_, again, pruned = read_study(project / "artifacts/search").get_trials()
    statement = "select step, value from metrics where key = 'val_macro_f1' and run_uuid = ? order by step"
    with sqlite3.connect(project / "mlflow.db") as database:
        for trial, status in ((again, "FINISHED"), (pruned, "KILLED")):
            run_id = trial.user_attrs["mlflow_run_id"]
            logged = dict(database.execute(statement, [run_id]).fetchall())
            assert trial.intermediate_values == {step: logged[step] for step in trial.intermediate_values}
            found = database.execute("select status from runs where run_uuid = ?", [run_id]).fetchone()
            assert found == (status,)
    assert again.value == max(again.intermediate_values.values())
    assert list(again.intermediate_values) == list(range(1, NUM_EPOCHS + 1))


@pytest.mark.slow
def test_table_csv_and_plots_tell_every_trial(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = project / "artifacts/search"
    assert search.main(["--table", "--out", str(out)]) == 0
    head, columns, *rows = capsys.readouterr().out.splitlines()
    assert head == "1 complete, 1 pruned, 1 fail"
    assert columns.split()[:6] == ["TRIAL", "STATE", "TIME", "EPOCH", "LAST", "BEST"]
    assert [row.split()[:2] for row in rows] == [["1", "COMPLETE"], ["2", "PRUNED"], ["0", "FAIL"]]
    table = list(csv.DictReader((out / "trials.csv").read_text().splitlines()))
    assert [row["state"] for row in table] == ["fail", "complete", "pruned"]
    assert float(table[1]["value"]) == read_study(out).best_value
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in ("history.png", "epochs.png"))


@pytest.mark.slow
def test_best_values_become_a_params_file_that_keeps_its_comments(project: Path, tmp_path: Path) -> None:
    target, params = tmp_path / "params.best.yaml", project / "params.yaml"
    out = str(project / "artifacts/search")
    assert search.main(["--write-best", str(target), "--params", str(params), "--out", out]) == 0
    assert target.read_text() == edit_yaml(params.read_text(), GOOD)
    assert "# what a search changes" in target.read_text()
    assert Params.read(target).flat() | GOOD == Params.read(target).flat()
    used = Params.read(trial_dir(project / "artifacts/search", 1) / "params.yaml")
    assert used == Params.read(target)


@pytest.mark.slow
def test_workers_of_a_search_that_is_done_train_nothing_more(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert search.main(["--jobs", "2"]) == 0
    assert len(read_study(project / "artifacts/search").get_trials()) == 3


WORKER = """
import sys
from tests.training import stand_in_training
from training import search
from training.sweeps import search_worker
search_worker.start_training = stand_in_training.start_training
sys.exit(search.main([]))
"""


def test_a_worker_that_is_told_to_stop_hands_its_trial_back(tiny_tiles_dir: Path, tmp_path: Path) -> None:
    _set_up(tmp_path, tiny_tiles_dir, {"train.weight_decay": {"type": "categorical", "choices": [WAITS, LEARNS]}})
    worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=tmp_path, env=_environment(tmp_path))
    log = trial_dir(tmp_path / "artifacts/search", 0) / "child.log"
    _until(lambda: log.is_file() and _children(worker.pid))
    (child,) = _children(worker.pid)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait() == 128 + signal.SIGTERM
    _until(lambda: not _runs(child, stand_in_training.MODULE))
    stopped, waiting = read_study(tmp_path / "artifacts/search").get_trials()
    assert (stopped.state, waiting.state) == (TrialState.FAIL, TrialState.WAITING)
    assert stopped.user_attrs[REASON] == "its worker was stopped"
    assert waiting.user_attrs[RETRY_OF] == 0
    assert waiting.system_attrs["fixed_params"] == stopped.params == {"train.weight_decay": WAITS}


def test_trials_that_fail_one_after_another_end_the_search_with_their_reason(
    tiny_tiles_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search_worker, "start_training", stand_in_training.start_training)
    choices = [LEARNS, IS_REFUSED, BREAKS]
    _set_up(tmp_path, tiny_tiles_dir, {"train.weight_decay": {"type": "categorical", "choices": choices}}, trials=40)
    assert search.main([]) == 2
    assert "3 trials in a row failed, the last with: training: this is refused" in capsys.readouterr().err
    states = [trial.state for trial in read_study(tmp_path / "artifacts/search").get_trials()]
    assert TrialState.COMPLETE in states
    assert [state == TrialState.FAIL for state in states[-4:]] == [False, True, True, True]


@pytest.mark.parametrize("words", [["--table"], ["--write-best", "best.yaml"]])
def test_a_search_that_was_never_begun_cannot_be_looked_at(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert search.main(words) == 2
    assert "there is no search in artifacts/search" in capsys.readouterr().err


def test_a_space_that_does_not_fit_the_params_is_refused_before_any_trial(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    space = {"train.no_such_key": {"type": "categorical", "choices": [1, 2]}}
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(SPACE | {"space": space}), encoding="utf-8")
    assert search.main(["--manifest", str(tiny_tiles_dir / "manifest.csv"), "--params", str(params_file)]) == 2
    assert "no key 'train.no_such_key'" in capsys.readouterr().err
    assert not (tmp_path / "artifacts").exists()
