"""Which of several processes works on the jobs of a folder: whoever holds its lock. Others answer about them."""

import fcntl
from pathlib import Path
from typing import IO

from runtime.serving.jobs.database import FOLDER_MODE, refusing

LOCK_FILE = "jobs.lock"


class FolderLock:
    """A lock that the system lets go of when its process ends, however that happens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None

    def take(self) -> bool:
        """Take the lock unless it is held; say whether this process holds it now. Raises RequestRefused."""
        if self._file:
            return True
        with refusing(self._folder):
            self._folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            file = (self._folder / LOCK_FILE).open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
        self._file = file
        return True

    @property
    def is_held(self) -> bool:
        """Whether this process holds it."""
        return self._file is not None

    def release(self) -> None:
        """Safe to call twice."""
        if self._file:
            self._file.close()
            self._file = None
