"""How the first process of a server tells its workers that all of it is to end, and not one of them alone."""

import logging
import os
from pathlib import Path

from runtime.serving.prometheus.metrics_folder import FOLDER_VARIABLE

_NAME = "stopping"  # a file in the folder that all processes of the server have

logger = logging.getLogger("vision.drain")


def mark_stopping() -> None:
    """Say that the whole server ends. Does nothing in a process that no server started.

    Where the file cannot be written, as on a full disk, the server ends all the same.
    """
    if folder := os.environ.get(FOLDER_VARIABLE):
        try:
            (Path(folder) / _NAME).touch()
        except OSError as exc:
            logger.warning(
                "connections made at the last moment may be reset: workers are not told of the end (%s)", exc
            )


def is_stopping() -> bool:
    """Whether the whole server ends; False in a process that no server started."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return folder is not None and (Path(folder) / _NAME).exists()
