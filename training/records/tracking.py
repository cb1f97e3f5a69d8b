"""MLflow: whether its store answers, and what goes there. The only module that knows MLflow.

Without MLFLOW_TRACKING_URI the store is the SQLite file `mlflow.db` here. No call waits for minutes: MLflow's own eight
attempts of up to two minutes each are cut to two of REQUEST_TIMEOUT_S unless the environment sets them.
"""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from project.loopback import ask_directly
from training.records.lineage import environment
from training.records.moved_store import follow_checkout
from training.records.outbox import Item, UnreachableError

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
EXPERIMENT = "bento-vision"
ENVIRONMENT_FILE = "environment.txt"
_SQLITE = "sqlite:///"
MLFLOW_BATCH = 1000  # metrics a request, its API's limit
PARAMS_BATCH = 100  # the same of params
REQUEST_TIMEOUT_S, UPLOAD_TIMEOUT_S = 10, 120  # a server that stores a checkpoint elsewhere answers when that is done
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
Scalar = str | int | float | bool


class TrackingError(ValueError):
    """A store that does not answer, or a run, or what is to be logged to it, that is not there."""


def check_store() -> None:
    """Raise TrackingError within seconds if the tracking store does not answer or cannot be written."""
    with explained():
        _mlflow().search_experiments(max_results=1)


def begin_run(params: Mapping[str, Scalar], tags: Mapping[str, str]) -> str:
    """Open a run with its params and the installed packages; return its id. Raises TrackingError."""
    with explained():
        mlflow = _mlflow()
        experiment = mlflow.set_experiment(EXPERIMENT)
        client = mlflow.MlflowClient()
        own_tags = mlflow.tracking.context.registry.resolve_tags(dict(tags))
        run_id = str(client.create_run(experiment.experiment_id, tags=own_tags).info.run_id)
        entities = [mlflow.entities.Param(name, str(value)) for name, value in params.items()]
        for start in range(0, len(entities), PARAMS_BATCH):
            client.log_batch(run_id, params=entities[start : start + PARAMS_BATCH])
        client.log_text(run_id, environment(), ENVIRONMENT_FILE)
        return run_id


def reopen_run(run_id: str) -> set[int]:
    """Set a run going again; return the epochs that it has. Raises TrackingError if it is not where the URI points."""
    try:
        epochs = set(metric_history(run_id, "train_loss"))
        _mlflow().MlflowClient().update_run(run_id, "RUNNING")
    except _store_errors() as exc:
        raise TrackingError(f"which cannot be opened at {store_in_words()}: {_reason(exc)}") from exc
    return epochs


def send(run_id: str, item: Item) -> None:
    """Log one item of an outbox: points of metrics, a file, or the run's end. Raises UnreachableError.

    A file that is no longer there is passed over: a later run has replaced it.
    """
    try:
        mlflow = _mlflow()
        client = mlflow.MlflowClient()
        if "points" in item:
            points = [mlflow.entities.Metric(*point) for point in item["points"]]
            for start in range(0, len(points), MLFLOW_BATCH):
                client.log_batch(run_id, metrics=points[start : start + MLFLOW_BATCH])
        elif "file" in item:
            if Path(item["file"]).is_file():
                client.get_run(run_id)  # answers in seconds, or nothing is uploaded
                with _patience():
                    client.log_artifact(run_id, item["file"])
        else:
            client.set_terminated(run_id, item["end"])
    except _store_errors() as exc:
        raise UnreachableError(f"{store_in_words()}: {_reason(exc)}") from exc


def points_of(metrics: Mapping[str, float], step: int) -> list[tuple[str, float, int, int]]:
    """Return points for an outbox: name, value, milliseconds, step."""
    now_ms = int(time.time() * 1000)
    return [(name, float(value), now_ms, step) for name, value in metrics.items()]


def metric_history(run_id: str, name: str) -> dict[int, float]:
    """Return what a run, maybe of another process and still going, has logged of one metric: `{step: value}`."""
    return {metric.step: metric.value for metric in _mlflow().MlflowClient().get_metric_history(run_id, name)}


def mark_killed(run_id: str) -> None:
    """Say of a run whose process was stopped from outside that it is over. Raises TrackingError."""
    with explained():
        client = _mlflow().MlflowClient()
        if client.get_run(run_id).info.status in ("RUNNING", "SCHEDULED"):
            client.set_terminated(run_id, "KILLED")


def log_to_run(run_id: str, metrics: Mapping[str, float], files: Iterable[Path], folder: str) -> None:
    """Add metrics, and files below `folder`, to a run that has ended. Raises TrackingError if there is no such run."""
    check_store()
    client, mlflow_error = client_and_errors()
    try:
        client.get_run(run_id)
    except mlflow_error as exc:
        raise TrackingError(
            f"there is no MLflow run {run_id!r} at {store_in_words()}: {exc}; set MLFLOW_TRACKING_URI"
        ) from exc
    with explained():
        for name, value in metrics.items():
            client.log_metric(run_id, name, value)
        with _patience():
            for path in files:
                client.log_artifact(run_id, str(path), folder)


def client_and_errors() -> tuple[Any, type[Exception]]:
    """Return a client of the tracking store and the exception that it raises."""
    mlflow = _mlflow()
    return mlflow.MlflowClient(), mlflow.exceptions.MlflowException


def store_in_words() -> str:
    """Return where runs are kept, without a password."""
    uri = str(_import().get_tracking_uri())
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2]) if "@" in parts.netloc else uri


@contextmanager
def explained() -> Iterator[None]:
    """Turn the store's errors into one line."""
    try:
        yield
    except _store_errors() as exc:
        raise TrackingError(
            f"MLflow's store {store_in_words()} does not answer or cannot be written: {_reason(exc)}. Start it, or "
            "set MLFLOW_TRACKING_URI; unset, runs are kept in mlflow.db here"
        ) from exc


@contextmanager
def _patience() -> Iterator[None]:
    """Give uploads longer, unless the user has set how long."""
    before = os.environ.get(_TIMEOUT)
    if before == str(REQUEST_TIMEOUT_S):
        os.environ[_TIMEOUT] = str(UPLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_TIMEOUT] = before


def _store_errors() -> tuple[type[Exception], ...]:
    import sqlalchemy.exc

    # requests' errors are OSErrors.
    return (_import().exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError)


def _reason(exc: BaseException) -> str:
    """Return the first cause in one short line: `[Errno 111] Connection refused` of an error of many layers."""
    causes: list[BaseException] = [exc]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    plain: list[BaseException] = [one for one in causes if isinstance(one, OSError) and one.strerror]
    return str((plain or [exc])[-1]).strip().split("\n")[0][:300]


def _import() -> Any:
    """Import MLflow when first needed (it takes seconds), silent towards the outside."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault(_TIMEOUT, str(REQUEST_TIMEOUT_S))
    import mlflow

    return mlflow


def _mlflow() -> Any:
    """Return MLflow, its store ready for a call."""
    mlflow = _import()
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it would report each attempt
    ask_directly(mlflow.get_tracking_uri())
    _create_store(mlflow, os.environ["MLFLOW_TRACKING_URI"])
    return mlflow


@cache
def _create_store(mlflow: Any, tracking_uri: str) -> None:
    """Have one process at a time create the tables of a SQLite store or find them there.

    MLflow fails if two create them at once, as the workers of a search do on a fresh checkout. Where the file cannot be
    opened or written it tries again for minutes, so that is looked at first.
    """
    if not tracking_uri.startswith(_SQLITE):
        return
    path = Path(tracking_uri.removeprefix(_SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            if not path.is_absolute():  # its files are kept beside it, and both move with the checkout
                follow_checkout(database, Path.cwd(), EXPERIMENT)
            with suppress(sqlite3.Error):
                database.execute("COMMIT")
        mlflow.search_experiments(max_results=1)
