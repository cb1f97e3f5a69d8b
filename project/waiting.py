"""Threads of OpenMP sleep while they wait for each other, in commands that compute with PyTorch or scikit-learn."""

import os

from project.interruption import running_command


def sleep_while_waiting(package: str) -> None:
    """Have waiting threads sleep if this process is `python -m <package>.<module>`; OMP_WAIT_POLICY set outside counts.

    Threads that spin until the slowest of them is done burn the cores that it waits for. OpenMP reads this once, when
    it is loaded, so it is called where the package is imported, before any of its modules.
    """
    if running_command().startswith(f"{package}."):
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
