"""Runs that start at the same time on a fresh checkout share one new MLflow store."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.forking_python import forking_python

REPOSITORY = Path(__file__).parents[3]
NUM_RUNS, TIMEOUT_S = 3, 1800
CODE = """
import sys
from pathlib import Path
from training.records.run_log import Run
with Run(Path(sys.argv[1]), {"lr": 1}, {}) as run:
    pass
"""


@pytest.mark.slow
def test_runs_that_start_at_once_all_find_the_tables(tmp_path: Path) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'new/mlflow.db'}"}
    python = forking_python()  # so that none has to import first what another one has already

    def run(number: int) -> int:
        return python.run(["-c", CODE, str(tmp_path / str(number))], REPOSITORY, environment, TIMEOUT_S).returncode

    with ThreadPoolExecutor(NUM_RUNS) as pool:
        assert list(pool.map(run, range(NUM_RUNS))) == [0] * NUM_RUNS
    database = sqlite3.connect(tmp_path / "new/mlflow.db")
    assert database.execute("select status from runs").fetchall() == [("FINISHED",)] * NUM_RUNS
    database.close()
