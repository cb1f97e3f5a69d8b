"""Slurm's warnings to a batch step that it has to go soon: heard at any time, and handed to what runs then."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Self

from slurm.early import WARNINGS


class Warned(Exception):  # noqa: N818  # no error: the job wants to go on later
    """The job was warned, and what ran has ended."""


class Warnings:
    """Collects warnings from when it is entered, in the main thread; those that `slurm.early` held back come first."""

    def __init__(self) -> None:
        self.is_given = False
        self._running: tuple[subprocess.Popen[str], signal.Signals] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._hear) for number in WARNINGS}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WARNINGS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(
        self, command: Sequence[str], told_by: signal.Signals = signal.SIGTERM, stdout: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and return how it ended; it gets the signal `told_by` when the job is warned.

        Raises Warned, and starts nothing, if the job has been warned before.
        """
        self.check()
        with subprocess.Popen(command, stdout=stdout, text=True) as process:
            self._running = process, told_by
            if self.is_given:  # since the check
                self._tell()
            output, _ = process.communicate()
        self._running = None
        return subprocess.CompletedProcess(command, process.returncode, output)

    def check(self) -> None:
        """Raise Warned if the job has been warned."""
        if self.is_given:
            raise Warned

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.is_given = True
        # Not by logging, which may be what was interrupted.
        os.write(sys.stderr.fileno(), f"{signal.Signals(number).name}: what runs is told to save and leave\n".encode())
        self._tell()

    def _tell(self) -> None:
        if self._running is not None:
            process, told_by = self._running
            process.send_signal(told_by)  # does nothing after its end
