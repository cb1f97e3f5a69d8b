"""Run by training.launch in test_distributed.py: `all` processes meet the same error, or process 1 `alone`."""

import sys

from dataset.manifest import ManifestError
from training.process.distributed import Worker
from training.process.exit_status import exit_status
from training.process.signals import LeaveRequest


def _body(this: Worker, _leaving: LeaveRequest) -> None:
    if sys.argv[1] == "all" or this.rank == 1:
        raise ManifestError("a picture is gone")
    this.broadcast("")  # the others wait for the one that failed


if __name__ == "__main__":
    sys.exit(exit_status("failing", (ManifestError,), _body))
