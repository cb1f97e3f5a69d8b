"""What a run leaves behind: JSONL records that stand alone, a CSV for DVC's plots, a plot, and an MLflow run."""

import csv
import io
import json
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from project.write_whole import write_whole
from training.process.child_run import STATE_DIR
from training.process.signals import Requeue
from training.records import tracking
from training.records.history_plot import draw_history
from training.records.outbox import UNSENT_FILE, Outbox, UnreachableError, keep_unsent, read_unsent
from training.records.tracking import Scalar, TrackingError

HISTORY_FILE, HISTORY_PLOT = "history.csv", "history.png"
logger = logging.getLogger(__name__)


class Run:
    """One training run's log; use as a context manager in the main process only.

    resumed: what `state` returned; the same MLflow run goes on, and the log holds the epochs up to there. Entering
    raises TrackingError if MLflow does not answer or that run is gone. Once begun, the run outlives an outage.
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
        self._unsent = list(resumed.get("unsent", [])) if resumed else []
        self.run_id: str = resumed["run_id"] if resumed else ""
        self._logged_epochs: set[int] = set()
        self._outbox = Outbox(self._send)

    def __enter__(self) -> Self:
        self._out_dir.mkdir(parents=True, exist_ok=True)
        if self.run_id:
            self._go_on()
        else:
            self.run_id = tracking.begin_run(self._params, self._tags)
            send_unsent(self._out_dir)  # of the run before
        self._write_log()
        return self

    def _go_on(self) -> None:
        """Reopen the run. Raises TrackingError if it is not where MLFLOW_TRACKING_URI points."""
        try:
            # A run that was killed between logging and saving does the epoch again, and gets the same figures.
            self._logged_epochs = tracking.reopen_run(self.run_id)
        except TrackingError as exc:
            raise TrackingError(
                f"the saved run goes on as MLflow run {self.run_id!r}, {exc}; set MLFLOW_TRACKING_URI to where it "
                f"began, or begin anew with --resume never or by removing {self._out_dir / STATE_DIR}"
            ) from exc
        self._outbox.waiting = self._unsent
        self._outbox.flush()
        (self._out_dir / UNSENT_FILE).unlink(missing_ok=True)  # the state has it

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on with this log."""
        return {"run_id": self.run_id, "records": list(self._records), "unsent": list(self._outbox.waiting)}

    def log_epoch(
        self, epoch: int, metrics: Mapping[str, float], steps: Sequence[Mapping[str, float]] = (), last_step: int = 0
    ) -> None:
        """Record one epoch everywhere, and its steps in MLflow.

        Every JSONL record repeats the hyperparameters, so that it stands alone.
        """
        self._records.append({"time": time.time(), "run_id": self.run_id, "epoch": epoch, **metrics})
        self._write_log()
        if epoch not in self._logged_epochs:
            numbered = enumerate(steps, last_step - len(steps) + 1)
            points = [point for step, values in numbered for point in tracking.points_of(values, step)]
            self._outbox.put({"points": [*points, *tracking.points_of(metrics, epoch)]})

    def log_artifact(self, path: Path) -> None:
        self._outbox.put({"file": str(path.absolute())})

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            status = "FINISHED"
        else:
            ends = {Requeue: "SCHEDULED", KeyboardInterrupt: "KILLED"}  # SCHEDULED: it wants to go on later
            status = ends.get(kind, "FAILED")
        try:
            if self._records and status != "SCHEDULED":
                self._log_history()
        finally:
            self._outbox.waiting.append({"end": status})
            self._outbox.flush()
            if self._outbox.waiting:
                self._keep_unsent()

    def _keep_unsent(self) -> None:
        path = keep_unsent(self._out_dir, self.run_id, self._outbox.waiting)
        logger.warning(
            "MLflow has not got all of run %s: the rest is in %s, and `python -m training.log_evaluation --unsent-only "
            "--training %s` sends it; every epoch is in %s", self.run_id, path, self._out_dir,
            self._out_dir / "log.jsonl",
        )  # fmt: skip

    def _send(self, item: dict[str, Any]) -> None:
        tracking.send(self.run_id, item)

    def _log_history(self) -> None:
        """Draw the epochs, also of a run that failed after some, and log them with their figures."""
        write_whole(self._out_dir / HISTORY_PLOT, draw_history(self._records))
        self.log_artifact(self._out_dir / HISTORY_PLOT)
        self.log_artifact(self._out_dir / HISTORY_FILE)

    def _write_log(self) -> None:
        """Write `log.jsonl` and, once there is an epoch, `history.csv`, each whole."""
        lines = [json.dumps({**record, "params": self._params}) + "\n" for record in self._records]
        write_whole(self._out_dir / "log.jsonl", *lines)
        if self._records:
            text = io.StringIO(newline="")
            rows = [{k: v for k, v in record.items() if k not in ("time", "run_id")} for record in self._records]
            names = dict.fromkeys(name for row in rows for name in row)  # not every epoch is measured on val
            writer = csv.DictWriter(text, fieldnames=list(names))
            writer.writeheader()
            writer.writerows(rows)
            write_whole(self._out_dir / HISTORY_FILE, text.getvalue())


def send_unsent(out_dir: Path) -> int:
    """Send what MLflow did not take of the last run in `out_dir`; return how many entries that were.

    Raises TrackingError if it still takes nothing; what is left stays in the file.
    """
    run_id, waiting = read_unsent(out_dir)
    if not waiting:
        return 0
    outbox = Outbox(partial(tracking.send, run_id), waiting=list(waiting))
    try:
        while outbox.waiting:
            outbox.send(outbox.waiting[0])
            outbox.waiting.pop(0)
    except UnreachableError as exc:
        keep_unsent(out_dir, run_id, outbox.waiting)
        raise TrackingError(f"MLflow does not answer ({exc}): {len(outbox.waiting)} entries still wait") from exc
    (out_dir / UNSENT_FILE).unlink(missing_ok=True)
    logger.info("MLflow has the %d entries that it had not taken of run %s", len(waiting), run_id)
    return len(waiting)
