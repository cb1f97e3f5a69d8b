"""torchrun on this machine, with errors a person can read.

    NPROC=2 python -m training.launch [--max-restarts N] MODULE [ARGUMENTS]

Starts NPROC processes (an environment variable; 1 if unset) as `torchrun --standalone` does. Where a process has said
what is wrong and how to mend it (exit status 2), torchrun's own report of thirty lines is left out; any other failure
shows it. SIGTERM and SIGUSR1 are passed on to the processes, which save and leave, and kept for them while they
start; the exit status is 75 then: the same command goes on from there. Ctrl-C does the same, with status 130; the
second one ends the processes at once.
For several machines call `torchrun` itself: nothing here is needed then.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from dataset.outputs.pipeline import announce
from project.command import EXPLAINED
from project.interruption import INTERRUPTED, said_of
from runtime.model.cores import usable_cores
from training.process.signals import LEAVING, REQUEUE

USAGE = "usage: NPROC=1 python -m training.launch [--max-restarts N] MODULE [ARGUMENTS]"
LOOK_EVERY_S = 0.2


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    num_processes, num_restarts = os.environ.get("NPROC", "1"), "0"
    if words[:1] == ["--max-restarts"]:
        num_restarts, words = "".join(words[1:2]), words[2:]
    if not words or not num_restarts.isdigit() or not num_processes.isdigit() or num_processes == "0":
        sys.stderr.write(f"{USAGE}; got NPROC={num_processes}, --max-restarts {num_restarts}, MODULE {words[:1]}\n")
        return EXPLAINED
    announce(words, "training.launch")
    # torchrun would set 1 for several processes, which leaves cores idle, and warn about it.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // int(num_processes))))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the failure is reported below
    options = ["--standalone", f"--nproc-per-node={num_processes}", "--signals-to-handle=SIGHUP,SIGQUIT"]
    messenger = _Messenger()
    for number in LEAVING:
        signal.signal(number, messenger)
    for num_left in reversed(range(int(num_restarts) + 1)):
        if messenger.asked:  # while no process was there: none needs to start
            return messenger.status(REQUEUE)
        try:
            torchrun.run(torchrun.parse_args([*options, "-m", *words]))  # type: ignore[no-untyped-call]
            return 0
        except ChildFailedError as exc:
            if (status := _asked_for(exc, messenger)) is not None:
                return status
            if num_left == 0:
                raise
            if messenger.asked:
                continue
            _, first = exc.get_first_failure()
            sys.stderr.write(
                f"a process ended with status {first.exitcode}: all start again, {num_left} time(s) left\n"
            )
    raise AssertionError("unreachable: the last attempt returns or raises")


def _asked_for(exc: ChildFailedError, messenger: "_Messenger") -> int | None:
    """Return the exit status of processes that chose to end; None if one died.

    torchrun's own `--max-restarts` would start these again too.
    """
    statuses = [failure.exitcode for failure in exc.failures.values()]
    if EXPLAINED in statuses:
        return EXPLAINED
    # A process that was asked before it could listen died of the signal, and left the state as it was. torchrun sends
    # SIGTERM too, to those that outlive one that died.
    if REQUEUE in statuses:
        return INTERRUPTED if messenger.is_interrupt else REQUEUE  # it has said where it was saved
    return messenger.status(REQUEUE) if any(-number in statuses for number in messenger.sent) else None


class _Messenger:
    """Signal handler that hands signals to the processes that train: children that torchrun made session leaders.

    asked: the signals that came, whether or not a process was there to take them. sent: what the processes get. Ctrl-C
    is sent as SIGTERM, of which a process that still imports dies in silence, and the second one as SIGKILL.
    """

    def __init__(self) -> None:
        self.asked: set[int] = set()
        self.sent: set[int] = set()

    @property
    def is_interrupt(self) -> bool:
        return signal.SIGINT in self.asked

    def status(self, otherwise: int) -> int:
        """Return the exit status of processes that have not said why they end; say it for them after Ctrl-C."""
        if not self.is_interrupt:
            return otherwise
        sys.stderr.write(f"\n{said_of('training')}\n")
        return INTERRUPTED

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            number = signal.SIGKILL if self.is_interrupt else signal.SIGTERM
            self.asked.add(signal.SIGINT)
        self.asked.add(number)
        self.sent.add(number)
        if not _send(number):  # they start for the first time, or again
            threading.Thread(target=_send_when_started, args=(number,), daemon=True).start()


def _send_when_started(number: int) -> None:
    while not _send(number):
        time.sleep(LOOK_EVERY_S)


def _send(number: int) -> bool:
    """Send a signal to the processes that train; return whether there is any."""
    is_sent = False
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # the thread has ended
            for child in map(int, (thread / "children").read_text(encoding="ascii").split()):
                with suppress(ProcessLookupError):  # ended by itself
                    if os.getsid(child) == child:
                        os.kill(child, number)
                        is_sent = True
    return is_sent


if __name__ == "__main__":
    sys.exit(main())
