"""PyTorch's loader, whose processes leave it to the run to answer a request to leave."""

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeVar

from torch.utils.data import DataLoader, Dataset

from training.process.signals import LEAVING

AnyBatch = TypeVar("AnyBatch", covariant=True)


class Loader(DataLoader[AnyBatch]):
    """A DataLoader that lives on when a request to leave reaches the whole process group, as Slurm and Ctrl-C send it.

    By themselves its processes die of SIGTERM, and the run then of their death, before it could be saved. They still
    end when the loader is given up, and within seconds when the process that made them is gone.
    """

    def __init__(self, dataset: Dataset[Any], **options: Any) -> None:
        super().__init__(dataset, worker_init_fn=partial(_leave_for_the_parent_only, os.getpid()), **options)

    def __iter__(self) -> Iterator[AnyBatch]:  # type: ignore[override]
        # Processes are born with the mask of the thread that makes them: none can die before it is set up.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, LEAVING)
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_for_the_parent_only(parent_pid: int, _worker_id: int) -> None:
    """Take the signals, which are blocked in this process, in a thread of their own.

    PyTorch has a loading process end when its parent is another than at first: one killed before that is not missed.
    """
    if os.getppid() != parent_pid:
        os._exit(0)
    threading.Thread(target=_wait_for_the_parent, daemon=True).start()


def _wait_for_the_parent() -> None:
    """End this process when its parent sends SIGTERM: so Python ends what is left of a loader at exit, and waits."""
    while True:
        info = signal.sigwaitinfo(LEAVING)
        if info.si_signo == signal.SIGTERM and info.si_pid == os.getppid():
            os._exit(0)
