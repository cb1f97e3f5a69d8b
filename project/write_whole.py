"""Write a file whole or not at all: beside its place first, moved there when all of it is on the disk."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"  # ends the name that a file has until it is whole; a process that is killed leaves it
_CANNOT_SYNC_A_FOLDER = (errno.EINVAL, errno.EBADF, errno.EACCES)  # as some network disks answer


def write_whole(path: Path, *parts: str | bytes | memoryview) -> None:
    """Write the parts one after another, text as UTF-8, as `whole_file` does; the folder is made if it is missing."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        for part in parts:
            file.write(part.encode() if isinstance(part, str) else part)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield the path of a file beside `path` to be written, and move it there; an error leaves nothing behind.

    A reader sees the old file or the new one, also after a power cut. The temporary name is this process's own, so that
    several may write one file. Makes the folder if it is missing; raises OSError. A pipe or a device, such as
    /dev/stdout, is written to as it is.
    """
    if path.parent == Path("/dev") or (path.exists() and not path.is_file()):
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.uname().nodename}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    try:
        _sync(path.parent)
    except OSError as exc:
        if exc.errno not in _CANNOT_SYNC_A_FOLDER:
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
