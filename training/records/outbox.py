"""What is on its way to MLflow: sent in order, kept while MLflow does not answer, and never waited for long."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from project.write_whole import write_whole

Item = dict[str, Any]  # plain values: it is kept in states and in a file
UNSENT_FILE = "not_in_mlflow.json"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 120.0  # between attempts while nothing answers, each of which takes seconds
logger = logging.getLogger(__name__)


class UnreachableError(Exception):
    """MLflow does not take anything at present; the text says why."""


@dataclass
class Outbox:
    """Items for one run. send: takes one item, raises UnreachableError if it must wait."""

    send: Callable[[Item], None]
    clock: Callable[[], float] = time.monotonic
    waiting: list[Item] = field(default_factory=list)
    _is_away: bool = False
    _pause_s: float = 0.0
    _not_before_s: float = 0.0

    def put(self, item: Item) -> None:
        """Send what waits, then this; keep it if that cannot be done now."""
        self.waiting.append(item)
        if self.clock() >= self._not_before_s:
            self.flush()

    def flush(self) -> None:
        """Send what waits until it is done or nothing is taken; say once that it stopped, and once that it goes on."""
        num_sent = 0
        while self.waiting:
            try:
                self.send(self.waiting[0])
            except UnreachableError as exc:
                self._pause(str(exc))
                return
            self.waiting.pop(0)
            num_sent += 1
        if self._is_away:
            logger.warning("MLflow answers again and has the %d entries that waited", num_sent)
        self._is_away, self._pause_s, self._not_before_s = False, 0.0, 0.0

    def _pause(self, reason: str) -> None:
        if not self._is_away:
            logger.warning("MLflow takes nothing now (%s): the run goes on, and what it logs waits", reason)
        self._is_away = True
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s or FIRST_PAUSE_S)
        self._not_before_s = self.clock() + self._pause_s


def keep_unsent(out_dir: Path, run_id: str, waiting: Iterable[Item]) -> Path:
    """Write what MLflow did not take beside the run's other files; return the file."""
    document = json.dumps({"run_id": run_id, "waiting": list(waiting)}) + "\n"
    write_whole(out_dir / UNSENT_FILE, document)
    return out_dir / UNSENT_FILE


def read_unsent(out_dir: Path) -> tuple[str, list[Item]]:
    """Return the run and what MLflow did not take of it; '' and nothing if all was taken."""
    try:
        document = json.loads((out_dir / UNSENT_FILE).read_text(encoding="utf-8"))
        return str(document["run_id"]), list(document["waiting"])
    except FileNotFoundError:
        return "", []
