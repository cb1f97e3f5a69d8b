"""The MLflow store beside the code goes with a checkout that is moved."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from training.records.moved_store import follow_checkout

REPOSITORY = Path(__file__).parents[3]
LOG = """
import sys
from pathlib import Path
from training.records.tracking import begin_run, log_to_run
print(begin_run({}, {}))
Path("figure.txt").write_text("a figure")
for run_id in sys.argv[1:]:
    log_to_run(run_id, {}, [Path("figure.txt")], "later")
"""


def _log(checkout: Path, *run_ids: str) -> str:
    """Open a run as a checkout's own process does and add a file to earlier ones; return the run's id."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-c", LOG, *run_ids], cwd=checkout, capture_output=True, text=True,
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_after_a_move_files_of_new_and_earlier_runs_go_to_the_new_place(tmp_path: Path) -> None:
    (tmp_path / "former").mkdir()
    earlier = _log(tmp_path / "former")
    moved = (tmp_path / "former").rename(tmp_path / "moved")
    later = _log(moved, earlier)
    assert not (tmp_path / "former").exists()
    files = {path.relative_to(moved / "mlruns/1").as_posix() for path in (moved / "mlruns").rglob("*.txt")}
    assert files == {
        *(f"{run_id}/artifacts/environment.txt" for run_id in (earlier, later)),
        f"{earlier}/artifacts/later/figure.txt",
    }


def test_files_that_were_put_elsewhere_on_purpose_stay_there(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        follow_checkout(database, tmp_path, "ours")  # no tables yet
        for table, columns in {
            "experiments": "name, experiment_id, artifact_location",
            "runs": "artifact_uri",
            "model_versions": "source, storage_location",
            "logged_models": "artifact_location",
        }.items():
            database.execute(f"CREATE TABLE {table} ({columns})")
        places = {"ours": "/old/mlruns/1", "theirs": "/old/mlruns-2/2", "served": "mlflow-artifacts:/3"}
        rows = [(name, number, place) for number, (name, place) in enumerate(places.items(), 1)]
        database.executemany("INSERT INTO experiments VALUES (?, ?, ?)", rows)
        database.execute("INSERT INTO model_versions VALUES ('/old/mlruns/1/a/artifacts/checkpoint.pt', NULL)")
        for name in ("theirs", "served", "unknown"):
            follow_checkout(database, tmp_path, name)
        assert dict(database.execute("SELECT name, artifact_location FROM experiments").fetchall()) == places
        follow_checkout(database, tmp_path, "ours")
        found = dict(database.execute("SELECT name, artifact_location FROM experiments").fetchall())
        assert found == {**places, "ours": f"{tmp_path}/mlruns/1"}
        [(source,)] = database.execute("SELECT source FROM model_versions")
        assert source == f"{tmp_path}/mlruns/1/a/artifacts/checkpoint.pt"
