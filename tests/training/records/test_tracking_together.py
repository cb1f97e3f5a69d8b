"""Runs that start at the same time on a fresh checkout share one new MLflow store."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
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
    runs = [
        subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path / str(n))], cwd=REPOSITORY, env=environment)
        for n in range(3)
    ]
    assert [run.wait() for run in runs] == [0, 0, 0]
    database = sqlite3.connect(tmp_path / "new/mlflow.db")
    assert database.execute("select status from runs").fetchall() == [("FINISHED",)] * 3
    database.close()
