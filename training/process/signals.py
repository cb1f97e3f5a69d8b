"""Being asked to leave: SIGTERM, SIGUSR1 and Ctrl-C set a flag that the run looks at after each step."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REQUEUE = 75  # exit status, sysexits' EX_TEMPFAIL: start the same command again and it goes on
LEAVING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class LeaveRequest:
    """Whether this process was asked to leave.

    is_heeded: set by the run once it looks at the flag after each step. is_interrupt: it was asked by Ctrl-C, which a
    person types; the second time, or while nobody looks, they shall not wait: KeyboardInterrupt is raised.
    """

    def __init__(self) -> None:
        self.is_made = False
        self.is_heeded = False
        self.is_interrupt = False

    def _make(self, number: int, _frame: FrameType | None) -> None:
        # torchrun's processes are not the terminal's: there SIGINT is a request that was handed on.
        if number == signal.SIGINT and not is_under_torchrun():
            if self.is_interrupt or not self.is_heeded:
                raise KeyboardInterrupt
            self.is_interrupt = True
        self.is_made = True


def is_under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


class Requeue(Exception):  # noqa: N818  # no error: the run is saved and wants to go on later
    """The run was asked to leave, and has saved where it is."""


@contextmanager
def leave_requests() -> Iterator[LeaveRequest]:
    """Collect SIGTERM, SIGUSR1 and SIGINT in a flag instead of dying of them.

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
