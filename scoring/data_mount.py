"""Whether a node sees the pictures at all: what is the node's fault must not become rows that say the pictures' is.

A shard that has its rows is done for good: a node without the data would make errors of thousands of good pictures.
"""

import errno
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scoring.pictures import ScoringError

# Of one file, and the same on every node and tomorrow. Others, such as EIO, ESTALE or EMFILE, may pass.
_OF_THE_FILE = frozenset(
    {
        errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP,
    }
)  # fmt: skip
FEW_PICTURES = 3  # so many missing pictures may be all that a list's last shard has


def refuse_unless_of_the_file(error: OSError, file: Path) -> None:
    """Raises ScoringError unless the error is one that the file itself has."""
    if error.errno not in _OF_THE_FILE:
        raise ScoringError(
            f"{socket.gethostname()} cannot read {file}: {error.strerror or error}. That may be the node or the disk, "
            "so its shard was not written: run again, on another node if need be. A file that is beyond repair can be "
            "removed; it is then a row with its error"
        ) from error


@dataclass(frozen=True)
class DataMount:
    """The folder of a plan's relative paths as it was when a shard began; identity is None if all are absolute."""

    root: Path
    identity: tuple[int, int] | None

    @classmethod
    def of(cls, root: Path, paths: Sequence[str]) -> Self:
        """Raises ScoringError if `root` is no directory here and a path is relative to it."""
        return cls(root, None if all(map(os.path.isabs, paths)) else _identity(root))

    def refuse_if_lost(self, num_unreadable: int, num_pictures: int, allow_unreadable: bool) -> None:
        """Call when all pictures were asked for, before their rows are kept.

        Raises ScoringError if some could not be read and `root` is another folder by now, or if none of more than
        FEW_PICTURES could and `allow_unreadable` does not say that this is so.
        """
        if num_unreadable and self.identity is not None and _identity(self.root) != self.identity:
            raise ScoringError(
                f"{self.root} was mounted or replaced on {socket.gethostname()} while a shard was scored, and "
                f"{num_unreadable} of its pictures could not be read. Nothing was written; run again"
            )
        if FEW_PICTURES < num_pictures == num_unreadable and not allow_unreadable:
            raise ScoringError(
                f"{socket.gethostname()} can read none of the {num_pictures} pictures of a shard below {self.root}: "
                "is the data mounted there? Nothing was written; run again where it is. If these pictures are gone "
                "indeed, --allow-unreadable makes rows of them"
            )


def _identity(root: Path) -> tuple[int, int]:
    try:
        found = root.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as exc:
        raise ScoringError(
            f"{root}, where the plan has its pictures, is no directory on {socket.gethostname()} ({exc.strerror}): is "
            "the data mounted there? Nothing was written; run again where it is"
        ) from exc
    return found.st_dev, found.st_ino
