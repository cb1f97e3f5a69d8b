"""Run training as a command in a folder of its own, and compare what two runs left."""

import json
import os
import sqlite3
from pathlib import Path

import torch

from tests.forking_python import forking_python
from tests.training.records.mlflow_store import copy_empty_store
from training.run.checkpoint import Checkpoint

REPOSITORY = Path(__file__).parents[3]
TIMEOUT_S = 1800  # far above any run here
TIMED = ("time", "run_id", "images_per_s", "data_wait_share")  # differ from run to run


def run_in(folder: Path, *words: str, expected: int = 0, **environment: str) -> str:
    """Run a module with an MLflow and a process group of its own; return what it printed to standard error.

    It is a fork of a process that has imported the large packages: what they read of the environment then, holds.
    """
    folder.mkdir(exist_ok=True)
    database = folder / "mlflow.db"
    uri = f"sqlite:///{database}" if database.exists() else copy_empty_store(database)
    own = {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(REPOSITORY), **environment}
    done = forking_python().run(words, folder, {**os.environ, **own}, TIMEOUT_S)
    assert done.returncode == expected, done.stderr[-3000:]
    return done.stderr


def assert_same(ours: Path, theirs: Path, num_epochs: int) -> None:
    """The same kept weights, and the same figures of every epoch but for times; no state is left."""
    first, second = Checkpoint.load(ours / "checkpoint.pt"), Checkpoint.load(theirs / "checkpoint.pt")
    assert first.epoch == second.epoch
    assert all(torch.equal(tensor, second.state_dict[name]) for name, tensor in first.state_dict.items())
    figures = []
    for folder in (ours, theirs):
        records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert len({record["run_id"] for record in records}) == 1
        figures.append([{k: v for k, v in record.items() if k not in TIMED} for record in records])
    assert figures[0] == figures[1]
    assert len(figures[0]) == num_epochs
    assert not (ours / "state").exists()


def mlflow_steps(folder: Path) -> list[int]:
    """Return the steps whose loss MLflow has, of the folder's one run, which must have finished."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
        rows = database.execute("select step from metrics where key = 'step_loss' order by step").fetchall()
    return [step for (step,) in rows]
