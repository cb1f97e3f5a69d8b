"""What a run leaves behind: JSONL records that stand alone, a CSV for DVC's plots, and an MLflow run.

The only module that knows MLflow. Without MLFLOW_TRACKING_URI it writes to the SQLite file `mlflow.db` here.
"""

import csv
import fcntl
import json
import os
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
EXPERIMENT = "bento-vision"
_SQLITE = "sqlite:///"
Scalar = str | int | float | bool


class TrackingError(ValueError):
    """A run, or what is to be logged to it, that is not there."""


class Run:
    """One training run's log; use as a context manager in the main process only."""

    def __init__(self, out_dir: Path, params: Mapping[str, Scalar], tags: Mapping[str, str]) -> None:
        self._out_dir = out_dir
        self._params = dict(params)
        self._tags = dict(tags)
        self._history: list[dict[str, float]] = []
        self.run_id = ""

    def __enter__(self) -> Self:
        mlflow = _mlflow()
        self._out_dir.mkdir(parents=True, exist_ok=True)
        self._log = (self._out_dir / "log.jsonl").open("w", encoding="utf-8")
        mlflow.set_experiment(EXPERIMENT)
        self.run_id = mlflow.start_run(tags=self._tags).info.run_id
        mlflow.log_params(self._params)
        return self

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record one epoch everywhere; every JSONL record repeats the hyperparameters, so that it stands alone."""
        record: dict[str, Any] = {"time": time.time(), "run_id": self.run_id, "epoch": epoch, **metrics}
        self._log.write(json.dumps({**record, "params": self._params}) + "\n")
        self._log.flush()
        self._history.append({"epoch": epoch, **metrics})
        self._write_history()
        _mlflow().log_metrics(dict(metrics), step=epoch)

    def log_artifact(self, path: Path) -> None:
        _mlflow().log_artifact(str(path))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        _mlflow().end_run("FAILED" if kind else "FINISHED")

    def _write_history(self) -> None:
        temporary = self._out_dir / "history.csv.tmp"
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self._history[0]))
            writer.writeheader()
            writer.writerows(self._history)
        temporary.replace(self._out_dir / "history.csv")


def metric_history(run_id: str, name: str) -> dict[int, float]:
    """Return what a run, maybe of another process and still going, has logged of one metric: `{step: value}`."""
    return {metric.step: metric.value for metric in _mlflow().MlflowClient().get_metric_history(run_id, name)}


def mark_killed(run_id: str) -> None:
    """Say of a run whose process was stopped from outside that it is over."""
    client = _mlflow().MlflowClient()
    if client.get_run(run_id).info.status == "RUNNING":
        client.set_terminated(run_id, "KILLED")


def log_to_run(run_id: str, metrics: Mapping[str, float], files: Iterable[Path], folder: str) -> None:
    """Add metrics, and files below `folder`, to a run that has ended. Raises TrackingError if there is no such run."""
    mlflow = _mlflow()
    client = mlflow.MlflowClient()
    try:
        client.get_run(run_id)
    except mlflow.exceptions.MlflowException as exc:
        uri = mlflow.get_tracking_uri()
        raise TrackingError(f"there is no MLflow run {run_id!r} at {uri}: {exc}; set MLFLOW_TRACKING_URI") from exc
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)
    for path in files:
        client.log_artifact(run_id, str(path), folder)


def _mlflow() -> Any:
    """Import MLflow when first needed (it takes seconds), silent towards the outside."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI)
    import mlflow

    _create_store(mlflow, os.environ["MLFLOW_TRACKING_URI"])
    return mlflow


@cache
def _create_store(mlflow: Any, tracking_uri: str) -> None:
    """Have one process at a time create the tables of a SQLite store or find them there.

    MLflow fails if two create them at once, as the workers of a search do on a fresh checkout.
    """
    if not tracking_uri.startswith(_SQLITE):
        return
    path = Path(tracking_uri.removeprefix(_SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mlflow.search_experiments(max_results=1)
