"""A folder of its own for the metrics of each running server, whose processes each keep theirs in files there.

BentoML gives every server of a user the same folder and empties it whenever one is started, so that one server's
numbers would vanish when another starts, even where that one fails. A process keeps a lock in the folder that it uses
for as long as it lives: what a killed server left behind is told by that, not by its age.
"""

import atexit
import fcntl
import os
import shutil
import struct
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

# Not `VISION_...`: nothing that an operator sets, but how the first process tells the others.
FOLDER_VARIABLE = "BENTO_VISION_METRICS_FOLDER"
ROOT_NAME, _PREFIX, _LOCK = "vision_metrics", "server-", "lock"
_MAX_TRIES = 5
_locks: list[int] = []  # open for the life of the process


def make_metrics_folder(home: Path) -> Path:
    """Make the folder of the server that is starting and have its processes, which start later, use it.

    It lies in `home`, BentoML's, or among temporary files if that cannot be written, and is removed when this process
    ends. Folders of servers that are no more are removed now. Raises OSError if neither place can be written.
    """
    try:
        folder = _make_folder(home / ROOT_NAME)
    except OSError:
        folder = _make_folder(Path(tempfile.gettempdir()) / f"{ROOT_NAME}_{os.getuid()}")
    os.environ[FOLDER_VARIABLE] = str(folder)
    atexit.register(_remove, folder, os.getpid())
    return folder


def use_metrics_folder() -> None:
    """Keep this process's metrics in its server's folder; must be called before Prometheus's client makes any.

    A process that no server started, such as a test's, is left as it is.
    """
    if folder := os.environ.get(FOLDER_VARIABLE):
        Path(folder).mkdir(parents=True, exist_ok=True)
        _locks.append(_lock(Path(folder), fcntl.LOCK_SH))
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder


def _make_folder(root: Path) -> Path:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.lstat().st_uid != os.getuid():
        raise PermissionError(f"{root} is another user's")
    for folder in root.glob(f"{_PREFIX}*"):
        _remove_if_abandoned(folder)
    for _ in range(_MAX_TRIES):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        with suppress(OSError):  # taken for an abandoned one before it was locked
            lock = _lock(folder, fcntl.LOCK_SH)
            if (folder / _LOCK).exists():
                _locks.append(lock)
                return folder
            os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)
    raise OSError(f"cannot lock a file under {root}")


def _lock(folder: Path, kind: int) -> int:
    """Return the file that holds the lock. Raises OSError if another process has it or the folder is gone."""
    file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file


def _remove_if_abandoned(folder: Path) -> None:
    with suppress(OSError):  # in use, or removed by another server that starts
        lock = _lock(folder, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not in a copy of the process
        shutil.rmtree(folder, ignore_errors=True)


def forget_dead_processes() -> None:
    """Take the gauges of processes that were killed out of the sum, such as the queue of a dead worker."""
    from prometheus_client import multiprocess

    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    for path in Path(folder).glob("gauge_live*_*.db") if folder else ():
        pid = path.stem.rpartition("_")[2]
        if not Path(f"/proc/{pid}").exists():
            with suppress(FileNotFoundError):  # another process that starts does the same
                multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def read_unfinished_files_as_empty() -> None:
    """Have `/metrics` answer while another process makes its files; must be called before it is first asked.

    A file has no size between its making and its first use, and Prometheus's client fails on it (seen with 0.26): a
    scrape while workers start would be a 500.
    """
    from prometheus_client.mmap_dict import MmapedDict

    read = MmapedDict.read_all_values_from_file
    if hasattr(read, "__wrapped__"):
        return

    @wraps(read)
    def read_what_is_there(filename: str) -> Iterable[Any]:
        try:
            return read(filename)  # type: ignore[no-any-return, no-untyped-call]
        except struct.error:
            return read(filename) if Path(filename).stat().st_size else ()  # type: ignore[no-untyped-call]

    MmapedDict.read_all_values_from_file = staticmethod(read_what_is_there)  # type: ignore[method-assign]
