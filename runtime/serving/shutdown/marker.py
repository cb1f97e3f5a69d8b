"""How the first process of a server tells its workers that all of it is to end, and not one of them alone."""

import os
from pathlib import Path

from runtime.serving.prometheus.metrics_folder import FOLDER_VARIABLE

_NAME = "stopping"  # a file in the folder that all processes of the server have


def mark_stopping() -> None:
    """Say that the whole server ends. Does nothing in a process that no server started."""
    if folder := os.environ.get(FOLDER_VARIABLE):
        (Path(folder) / _NAME).touch()


def is_stopping() -> bool:
    """Whether the whole server ends; False in a process that no server started."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return folder is not None and (Path(folder) / _NAME).exists()
