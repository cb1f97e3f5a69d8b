"""What a run leaves behind: JSONL records that stand alone, a CSV for DVC's plots, a plot, and an MLflow run.

The only module that knows MLflow. Without MLFLOW_TRACKING_URI it writes to the SQLite file `mlflow.db` here.
"""

import csv
import fcntl
import io
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from training.child_run import STATE_DIR
from training.history_plot import draw_history
from training.lineage import environment
from training.run_state import write_whole
from training.signals import Requeue

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
EXPERIMENT = "bento-vision"
HISTORY_FILE, HISTORY_PLOT, ENVIRONMENT_FILE = "history.csv", "history.png", "environment.txt"
_SQLITE = "sqlite:///"
MLFLOW_BATCH = 1000  # metrics a request, its API's limit
Scalar = str | int | float | bool


class TrackingError(ValueError):
    """A run, or what is to be logged to it, that is not there."""


class Run:
    """One training run's log; use as a context manager in the main process only.

    resumed: what `state` returned; the same MLflow run goes on, and the log holds the epochs up to there. Entering
    raises TrackingError if that run is gone.
    """

    def __init__(
        self,
        out_dir: Path,
        params: Mapping[str, Scalar],
        tags: Mapping[str, str],
        resumed: Mapping[str, Any] | None = None,
    ) -> None:
        self._out_dir = out_dir
        self._params = dict(params)
        self._tags = dict(tags)
        self._records: list[dict[str, Any]] = list(resumed["records"]) if resumed else []
        self.run_id: str = resumed["run_id"] if resumed else ""
        self._logged_epochs: set[int] = set()

    def __enter__(self) -> Self:
        mlflow = _mlflow()
        self._out_dir.mkdir(parents=True, exist_ok=True)
        mlflow.set_experiment(EXPERIMENT)
        if self.run_id:
            self._go_on(mlflow)
        else:
            self.run_id = mlflow.start_run(tags=self._tags).info.run_id
            mlflow.log_params(self._params)
            mlflow.log_text(environment(), ENVIRONMENT_FILE)
        self._write_log()
        return self

    def _go_on(self, mlflow: Any) -> None:
        """Reopen the run. Raises TrackingError if it is not where MLFLOW_TRACKING_URI points."""
        try:
            # A run that was killed between logging and saving does the epoch again, and gets the same figures.
            self._logged_epochs = set(metric_history(self.run_id, "train_loss"))
            mlflow.start_run(run_id=self.run_id)
        except mlflow.exceptions.MlflowException as exc:
            raise TrackingError(
                f"the saved run goes on as MLflow run {self.run_id!r}, which cannot be opened at "
                f"{mlflow.get_tracking_uri()}: {exc}; set MLFLOW_TRACKING_URI to where it began, or begin anew with "
                f"--resume never or by removing {self._out_dir / STATE_DIR}"
            ) from exc

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on with this log."""
        return {"run_id": self.run_id, "records": list(self._records)}

    def log_epoch(
        self, epoch: int, metrics: Mapping[str, float], steps: Sequence[Mapping[str, float]] = (), last_step: int = 0
    ) -> None:
        """Record one epoch everywhere, and its steps in MLflow.

        Every JSONL record repeats the hyperparameters, so that it stands alone.
        """
        self._records.append({"time": time.time(), "run_id": self.run_id, "epoch": epoch, **metrics})
        self._write_log()
        if epoch not in self._logged_epochs:
            self._log_steps(steps, last_step)
            _mlflow().log_metrics(dict(metrics), step=epoch)

    def _log_steps(self, steps: Sequence[Mapping[str, float]], last_step: int) -> None:
        """Send an epoch's steps in as few requests as MLflow takes."""
        mlflow, now_ms = _mlflow(), int(time.time() * 1000)
        points = [
            mlflow.entities.Metric(name, value, now_ms, step)
            for step, values in enumerate(steps, last_step - len(steps) + 1)
            for name, value in values.items()
        ]
        for start in range(0, len(points), MLFLOW_BATCH):
            mlflow.MlflowClient().log_batch(self.run_id, metrics=points[start : start + MLFLOW_BATCH])

    def log_artifact(self, path: Path) -> None:
        _mlflow().log_artifact(str(path))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            status = "FINISHED"
        else:
            status = "SCHEDULED" if issubclass(kind, Requeue) else "FAILED"  # SCHEDULED: it wants to go on later
        try:
            if self._records and status != "SCHEDULED":
                self._log_history()
        finally:
            _mlflow().end_run(status)

    def _log_history(self) -> None:
        """Draw the epochs, also of a run that failed after some, and log them with their figures."""
        write_whole(self._out_dir / HISTORY_PLOT, [draw_history(self._records)])
        self.log_artifact(self._out_dir / HISTORY_PLOT)
        self.log_artifact(self._out_dir / HISTORY_FILE)

    def _write_log(self) -> None:
        """Write `log.jsonl` and, once there is an epoch, `history.csv`, each whole."""
        lines = [json.dumps({**record, "params": self._params}) + "\n" for record in self._records]
        write_whole(self._out_dir / "log.jsonl", ["".join(lines).encode()])
        if self._records:
            text = io.StringIO(newline="")
            rows = [{k: v for k, v in record.items() if k not in ("time", "run_id")} for record in self._records]
            names = dict.fromkeys(name for row in rows for name in row)  # not every epoch is measured on val
            writer = csv.DictWriter(text, fieldnames=list(names))
            writer.writeheader()
            writer.writerows(rows)
            write_whole(self._out_dir / HISTORY_FILE, [text.getvalue().encode()])


def metric_history(run_id: str, name: str) -> dict[int, float]:
    """Return what a run, maybe of another process and still going, has logged of one metric: `{step: value}`."""
    return {metric.step: metric.value for metric in _mlflow().MlflowClient().get_metric_history(run_id, name)}


def mark_killed(run_id: str) -> None:
    """Say of a run whose process was stopped from outside that it is over."""
    client = _mlflow().MlflowClient()
    if client.get_run(run_id).info.status in ("RUNNING", "SCHEDULED"):
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


def client_and_errors() -> tuple[Any, type[Exception]]:
    """Return a client of the tracking store and the exception that it raises."""
    mlflow = _mlflow()
    return mlflow.MlflowClient(), mlflow.exceptions.MlflowException


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
