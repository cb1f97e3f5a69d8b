"""Being asked to leave: SIGTERM and SIGUSR1 set a flag that the run looks at after each step."""

import ctypes
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REQUEUE = 75  # exit status, sysexits' EX_TEMPFAIL: start the same command again and it goes on
LEAVING = (signal.SIGTERM, signal.SIGUSR1)
_PR_SET_PDEATHSIG = 1  # Linux, prctl(2)


class LeaveRequest:
    """Whether this process was asked to leave."""

    def __init__(self) -> None:
        self.is_made = False

    def _make(self, _number: int, _frame: FrameType | None) -> None:
        self.is_made = True


class Requeue(Exception):  # noqa: N818  # no error: the run is saved and wants to go on later
    """The run was asked to leave, and has saved where it is."""


@contextmanager
def leave_requests() -> Iterator[LeaveRequest]:
    """Collect SIGTERM and SIGUSR1 in a flag instead of dying of them.

    What was set before is put back, but not if the process was asked to leave: it is about to, and asking twice shall
    not change its exit status.
    """
    request = LeaveRequest()
    before = {number: signal.signal(number, request._make) for number in LEAVING}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if request.is_made else handler)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent is gone, so that a killed torchrun leaves no process behind.

    A process left over would go on writing the state that the resumed run writes too.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
