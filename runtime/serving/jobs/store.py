"""Jobs on disk: what may be asked of them and done with them, each as one transaction.

Everything here blocks; `StoreThread` calls it beside the event loop. Several processes may have the same file open. One
of them claims images (`runtime/serving/jobs/lock.py`).
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from runtime.answers.refusals import JobErrorCode, RequestRefused
from runtime.serving.jobs.database import (
    Access,
    DamagedError,
    full,
    open_database,
    pragma,
    refusing,
    transaction,
    used_bytes,
)
from runtime.serving.jobs.records import STATES, Claim, JobStatus, NewJob, Page, image_of, kind_and_content

logger = logging.getLogger("vision.jobs")

T = TypeVar("T")
ADMITTED_SHARE = 0.9  # of the file's bytes; the rest is kept for answers
MAX_PAGE_BYTES = 2**23  # of the answers on a page, beyond which it ends
_STATUS = "SELECT number, id, task, num_images, created_at, finished_at FROM jobs"


@dataclass
class JobStore:
    """The jobs of one folder. It is opened when it is first asked, and again after an error that asks for it.

    max_jobs: that it may hold. max_bytes: of its file. Methods raise RequestRefused if the file cannot be used.
    """

    folder: Path
    max_jobs: int
    max_bytes: int
    now: Callable[[], float] = time.time
    _connection: sqlite3.Connection | None = field(default=None, init=False)

    def create(self, job: NewJob) -> JobStatus:
        """Keep a job, or return the one that was made with the same key of the same content.

        Raises RequestRefused if the key was another job's, or if there is no room.
        """

        def work(connection: sqlite3.Connection) -> JobStatus:
            if (known := self._of_key(connection, job)) is not None:
                return known
            self._refuse_if_full(connection, job)
            values = (job.id, job.task, job.request_id, job.trace_id, len(job.images), self.now())
            number = connection.execute(
                "INSERT INTO jobs (id, task, request_id, trace_id, num_images, created_at, idempotency_key, "
                "content_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, job.idempotency_key, job.content_sha256),
            ).lastrowid
            places = range(len(job.images))
            connection.executemany(
                "INSERT INTO images (job, place, state) VALUES (?, ?, 'queued')", ((number, place) for place in places)
            )
            connection.executemany(
                "INSERT INTO contents (job, place, kind, content) VALUES (?, ?, ?, ?)",
                ((number, place, *kind_and_content(job.images[place])) for place in places),
            )
            return _status_of(connection, job.id)

        return self._do(work)

    def claim(self, tasks: Sequence[str]) -> Claim | None:
        """Take the next image of a job of these tasks in hand: jobs take turns. None if none waits."""

        def work(connection: sqlite3.Connection) -> Claim | None:
            found = connection.execute(
                "SELECT number, id, task, request_id, trace_id, "
                "(SELECT min(place) FROM images WHERE job = number AND state = 'queued') AS place "
                "FROM jobs WHERE finished_at IS NULL AND place IS NOT NULL "
                "AND task IN (SELECT value FROM json_each(?)) ORDER BY turn, number LIMIT 1",
                (json.dumps(list(tasks)),),
            ).fetchone()
            if found is None:
                return None
            number, job_id, task, request_id, trace_id, place = found
            connection.execute("UPDATE jobs SET turn = (SELECT max(turn) FROM jobs) + 1 WHERE number = ?", (number,))
            [(num_attempts,)] = connection.execute(
                "UPDATE images SET state = 'running', num_attempts = num_attempts + 1 WHERE (job, place) = (?, ?) "
                "RETURNING num_attempts",
                (number, place),
            ).fetchall()
            [(kind, content)] = connection.execute(
                "SELECT kind, content FROM contents WHERE (job, place) = (?, ?)", (number, place)
            ).fetchall()
            return Claim(number, job_id, place, task, image_of(kind, content), num_attempts, request_id, trace_id)

        return self._do(work)

    def finish(self, claim: Claim, line: str, is_failed: bool) -> bool:
        """Keep the answer of an image in hand and let go of its bytes; say whether it was still wanted."""

        def work(connection: sqlite3.Connection) -> bool:
            if not _let_go(connection, claim, "failed" if is_failed else "done"):
                return False
            key = claim.job, claim.place
            connection.execute("DELETE FROM contents WHERE (job, place) = (?, ?)", key)
            connection.execute(
                "INSERT INTO answers (job, place, line, sequence) "
                "VALUES (?, ?, ?, (SELECT coalesce(max(sequence), 0) + 1 FROM answers WHERE job = ?))",
                (*key, line, claim.job),
            )
            connection.execute(
                "UPDATE jobs SET finished_at = ? WHERE number = ? AND NOT EXISTS "
                "(SELECT 1 FROM images WHERE job = number AND state IN ('queued', 'running'))",
                (self.now(), claim.job),
            )
            return True

        return self._do(work)

    def put_back(self, claim: Claim, was_tried: bool) -> None:
        """Let an image that is in hand wait again. was_tried: whether it counts as an attempt."""
        self._do(lambda connection: _let_go(connection, claim, "queued", num_untried=not was_tried))

    def put_all_back(self, was_tried: bool) -> None:
        """Let all that is in hand wait again: whoever had it is gone. was_tried: as in `put_back`."""
        self._do(
            lambda connection: connection.execute(
                "UPDATE images SET state = 'queued', num_attempts = num_attempts - ? WHERE state = 'running'",
                (not was_tried,),
            )
        )

    def page(self, job_id: str, after: int, limit: int) -> Page:
        """Return a job with its answers after the first `after`, as many as `limit` and MAX_PAGE_BYTES allow."""

        def work(connection: sqlite3.Connection) -> Page:
            status = _status_of(connection, job_id)
            found = connection.execute(
                "SELECT line FROM answers JOIN jobs ON job = number WHERE id = ? AND sequence > ? "
                "ORDER BY sequence LIMIT ?",
                (job_id, after, limit),
            )
            lines: list[str] = []
            num_bytes = 0
            for (line,) in found:
                lines.append(line)
                num_bytes += len(line.encode())
                if num_bytes > MAX_PAGE_BYTES:
                    break
            return Page(status, lines)

        return self._do(work, transaction_of="read")

    def jobs(self) -> list[JobStatus]:
        """Return all jobs, the newest first."""
        return self._do(
            lambda connection: [
                _status(connection, row) for row in connection.execute(f"{_STATUS} ORDER BY number DESC").fetchall()
            ],
            transaction_of="read",
        )

    def waiting_tasks(self) -> list[str]:
        """Return the tasks of jobs that are not done, in alphabetical order."""
        ask = "SELECT DISTINCT task FROM jobs WHERE finished_at IS NULL ORDER BY task"
        return self._do(lambda connection: [task for (task,) in connection.execute(ask)], transaction_of="read")

    def forget(self, job_id: str) -> None:
        """Cancel and forget a job. Raises RequestRefused if there is none."""

        def work(connection: sqlite3.Connection) -> None:
            if not connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,)).rowcount:
                raise _not_found(job_id)

        self._do(work)
        self._give_disk_back()

    def forget_finished(self, older_than_s: float) -> int:
        """Forget jobs that were finished longer ago; return how many."""
        before = self.now() - older_than_s
        num_forgotten = self._do(
            lambda connection: connection.execute("DELETE FROM jobs WHERE finished_at < ?", (before,)).rowcount
        )
        if num_forgotten:
            self._give_disk_back()
        return num_forgotten

    def close(self) -> None:
        """Safe to call twice."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _do(self, work: Callable[[sqlite3.Connection], T], transaction_of: Access = "write") -> T:
        try:
            with refusing(self.folder):
                if self._connection is None:
                    self._connection = open_database(self.folder, self.max_bytes)
                with transaction(self._connection, transaction_of):
                    return work(self._connection)
        except DamagedError:
            self.close()
            raise

    def _give_disk_back(self) -> None:
        """Make the file smaller, if that can be done now; what is forgotten is forgotten either way."""
        try:
            with refusing(self.folder):
                if self._connection:
                    # Not `execute`, which takes one step of it: a page.
                    self._connection.executescript("PRAGMA incremental_vacuum")
        except RequestRefused as refusal:
            logger.warning("the room of jobs that are forgotten stays the file's: %s", refusal)

    def _of_key(self, connection: sqlite3.Connection, job: NewJob) -> JobStatus | None:
        if job.idempotency_key is None:
            return None
        known = connection.execute(
            "SELECT id, content_sha256 FROM jobs WHERE idempotency_key = ?", (job.idempotency_key,)
        ).fetchone()
        if known is None:
            return None
        if known[1] != job.content_sha256:
            message = "another job was made with this Idempotency-Key, of another task or of other images"
            raise RequestRefused(JobErrorCode.KEY_REUSED, message)
        return _status_of(connection, known[0])

    def _refuse_if_full(self, connection: sqlite3.Connection, job: NewJob) -> None:
        [(num_jobs,)] = connection.execute("SELECT count(*) FROM jobs").fetchall()
        if num_jobs >= self.max_jobs:
            message = f"there are {num_jobs} jobs, at most {self.max_jobs} are kept; delete some that are done"
            raise RequestRefused(JobErrorCode.TOO_MANY_JOBS, message, retry_after_s=60)
        page_bytes = pragma(connection, "page_size")
        needed = sum(_disk_bytes(kind_and_content(image)[1], page_bytes) for image in job.images)
        most = int(self.max_bytes * ADMITTED_SHARE)
        if used_bytes(connection) + needed > most:
            message = f"its {needed} bytes are more than is left of the {most} that jobs may take; delete some, or wait"
            raise full(message)


def _let_go(connection: sqlite3.Connection, claim: Claim, state: str, num_untried: int = 0) -> bool:
    """Change the state of an image that is in hand; say whether it still was."""
    changed = connection.execute(
        "UPDATE images SET state = ?, num_attempts = num_attempts - ? WHERE (job, place) = (?, ?) "
        # A file that took the place of a damaged one has another job of the same number.
        "AND state = 'running' AND EXISTS (SELECT 1 FROM jobs WHERE (number, id) = (job, ?))",
        (state, num_untried, claim.job, claim.place, claim.job_id),
    )
    return changed.rowcount > 0


def _disk_bytes(content: bytes | str, page_bytes: int) -> int:
    num_bytes = len(content)
    return num_bytes if num_bytes < page_bytes else -(-num_bytes // page_bytes) * page_bytes


def _status_of(connection: sqlite3.Connection, job_id: str) -> JobStatus:
    row = connection.execute(f"{_STATUS} WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise _not_found(job_id)
    return _status(connection, row)


def _status(connection: sqlite3.Connection, row: Sequence[object]) -> JobStatus:
    number, *rest = row
    job_id, task, num_images, created_at, finished_at = rest
    found = connection.execute("SELECT state, count(*) FROM images WHERE job = ? GROUP BY state", (number,)).fetchall()
    counts = {**dict.fromkeys(STATES, 0), **dict(found)}
    return JobStatus(job_id, task, num_images, counts, created_at, finished_at)  # type: ignore[arg-type]


def _not_found(job_id: str) -> RequestRefused:
    return RequestRefused(JobErrorCode.NOT_FOUND, f"there is no job {job_id[:40]!r}: it was deleted, or done long ago")
