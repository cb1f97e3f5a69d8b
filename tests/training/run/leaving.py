"""Run by training.launch in test_interruption.py: a run that takes steps until it is asked to leave, and says so."""

import sys
import time
from pathlib import Path

from training.process.distributed import Worker
from training.process.exit_status import exit_status
from training.process.signals import LeaveRequest, Requeue


def _body(this: Worker, leaving: LeaveRequest) -> None:
    leaving.is_heeded = True
    (Path(sys.argv[1]) / f"begun-{this.rank}").touch()
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        time.sleep(0.02)  # a step
        if this.any(leaving.is_made):
            raise Requeue("asked to leave after step 7; saved")


if __name__ == "__main__":
    sys.exit(exit_status("leaving", (), _body))
