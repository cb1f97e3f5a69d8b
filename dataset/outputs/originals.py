"""Copy a user's files, and tell apart what goes wrong: the file, its disk, or the disk that is written to.

A picture that cannot be fetched from its disk is no bad picture, and a full disk is no reason to remove one.
"""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from dataset.checks import check_readable, named
from dataset.manifest import ManifestError
from dataset.outputs.disk import OUT_OF_HANDLES, write_problem


class OriginalError(OSError):
    """A file of the user's that cannot be read from its disk; the text is the operating system's reason."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


def copy_original(original: Path, target: Path) -> bytes:
    """Copy a file, its folder made where there is none, and return its bytes.

    Nothing is linked: the copy shares blocks with the original only where the file system copies on write.
    Raises OriginalError if the original cannot be read, and ManifestError if the copy cannot be written.
    """
    data = read_original(original)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as copy:
            if not _share_blocks(original, copy.fileno(), len(data)):
                copy.truncate(0)
                copy.write(data)
    except OSError as exc:
        raise ManifestError(write_problem(exc, target)) from exc
    return data


def read_original(path: Path) -> bytes:
    """Return a regular file's bytes; a pipe, a socket or a device is not waited for.

    Raises OriginalError if it cannot be read, and ManifestError if no file at all can be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OriginalError(errno.EINVAL, "a pipe, socket or device, not a file")
            return file.read()
    except OriginalError:
        raise
    except OSError as exc:
        if exc.errno in OUT_OF_HANDLES:
            raise ManifestError(f"cannot open {path}: {exc.strerror}; {OUT_OF_HANDLES[exc.errno]}") from exc
        is_dangling = exc.errno == errno.ENOENT and path.is_symlink()
        reason = f"a link to {path.readlink()}, which is not there" if is_dangling else exc.strerror
        raise OriginalError(exc.errno, reason) from exc


def _share_blocks(original: Path, copy: int, size: int) -> bool:
    """Let the kernel copy, which shares blocks on XFS and Btrfs; False if it did not copy all `size` bytes."""
    try:
        with original.open("rb") as file:
            done = 0
            while done < size and (part := os.copy_file_range(file.fileno(), copy, size - done, done, done)):
                done += part
            return done == size
    except OSError:
        return False  # an older kernel, two disks, or a failing one: plain reading and writing tells which


def check_fetched(unread: Mapping[str, str], undecodable: Mapping[str, str]) -> None:
    """Refuse, all together, files that could not be read from their disk and pictures that could not be decoded.

    unread, undecodable: file -> reason. Raises ManifestError.
    """
    messages = []
    if unread:
        messages.append(unread_message(unread))
    try:
        check_readable(undecodable)
    except ManifestError as exc:
        messages.append(str(exc))
    if messages:
        raise ManifestError(". ".join(messages))


def unread_message(problems: Mapping[str, str]) -> str:
    """Return the refusal of files that could not be read from their disk: file -> reason."""
    reasons = [f"{path} ({reason})" for path, reason in sorted(problems.items())]
    return (
        f"{len(reasons)} file(s) cannot be read from their disk: {named(reasons)}. Mend what the operating system says "
        "of them (rights, links, the disk): it is not known whether the pictures are good"
    )
