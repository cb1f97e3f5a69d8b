"""The SQLite file in which jobs lie: its tables, how it is opened, and what can be wrong with it.

Images lie in a table of their own, so that a change of state does not write them again, and answers in another, whose
keys hold that an image has one answer. The file is written ahead (WAL), and each commit is on the disk before it
returns, so that what was answered to a client survives a power cut, too.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from runtime.answers.refusals import JobErrorCode, RequestRefused

Access = Literal["read", "write"]
DATABASE_FILE: Final = "jobs.sqlite3"
VERSION: Final = 1
FOLDER_MODE: Final = 0o700  # clients' pictures lie there
_FILE_MODE: Final = 0o600  # also in a folder that others may read; SQLite's own files beside it get the same
BUSY_S: Final = 20.0  # how long another process may hold the file
_MIB = 2**20
_RETRY_AFTER_S = 10
_FULL = frozenset({sqlite3.SQLITE_FULL})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SCHEMA: Final = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    task TEXT NOT NULL,
    request_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    num_images INTEGER NOT NULL,
    created_at REAL NOT NULL,
    finished_at REAL,
    turn INTEGER NOT NULL DEFAULT 0,
    idempotency_key TEXT UNIQUE,
    content_sha256 TEXT NOT NULL
);
CREATE TABLE images (
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    place INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    num_attempts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, place)
) WITHOUT ROWID;
CREATE INDEX images_by_state ON images (job, state, place);
CREATE TABLE contents (
    job INTEGER NOT NULL,
    place INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('file', 'base64', 'url')),
    content NOT NULL,
    PRIMARY KEY (job, place),
    FOREIGN KEY (job, place) REFERENCES images ON DELETE CASCADE
);
CREATE TABLE answers (
    job INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    place INTEGER NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (job, sequence),
    UNIQUE (job, place),
    FOREIGN KEY (job, place) REFERENCES images ON DELETE CASCADE
);
"""


class DamagedError(RequestRefused):
    """The file can be used no more as it is open."""


def open_database(folder: Path, max_bytes: int) -> sqlite3.Connection:
    """Open the file, making folder and tables where they are not there yet.

    max_bytes: of the file. Raises RequestRefused that says what is wrong with it.
    """
    with refusing(folder):
        folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        path = folder / DATABASE_FILE
        with suppress(FileExistsError):
            path.touch(_FILE_MODE, exist_ok=False)
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            _prepare(connection, folder, max_bytes)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, folder: Path, max_bytes: int) -> None:
    # Before there is a table: pages that are free are given back to the disk.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {64 * _MIB}")
    page_bytes = pragma(connection, "page_size")
    connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_bytes)}")
    with transaction(connection):
        version = pragma(connection, "user_version")
        if version == 0:
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise unavailable(
                f"{folder / DATABASE_FILE} has version {version}, this service writes {VERSION}; move it away"
            )


def pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the file's pages that hold something."""
    used_pages = pragma(connection, "page_count") - pragma(connection, "freelist_count")
    return used_pages * pragma(connection, "page_size")


@contextmanager
def transaction(connection: sqlite3.Connection, access: Access = "write") -> Iterator[None]:
    """Do all of the block or nothing; if it writes nobody else does meanwhile, and if it reads it sees one state."""
    connection.execute("BEGIN IMMEDIATE" if access == "write" else "BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have gone back itself
            connection.execute("ROLLBACK")
        raise


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Say of what goes wrong with the file what it is and what to do: raises RequestRefused, DamagedError."""
    path = folder / DATABASE_FILE
    try:
        yield
    except sqlite3.Error as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF  # the rest says more than is needed
        if code in _FULL:
            raise full(f"there is no room for it in {path}, or on its disk") from exc
        if code in _DAMAGED:
            message = f"{path} is damaged; move it away, and its jobs are lost, or bring back a copy"
            raise DamagedError(JobErrorCode.STORE_FAILED, message, retry_after_s=_RETRY_AFTER_S) from exc
        raise unavailable(f"{path} cannot be used: {exc}") from exc
    except OSError as exc:
        raise unavailable(f"the folder of VISION_JOBS_DIR cannot be used: {exc}") from exc


def unavailable(message: str) -> RequestRefused:
    return RequestRefused(JobErrorCode.STORE_FAILED, message, retry_after_s=_RETRY_AFTER_S)


def full(message: str) -> RequestRefused:
    return RequestRefused(JobErrorCode.STORE_FULL, message, retry_after_s=_RETRY_AFTER_S)
