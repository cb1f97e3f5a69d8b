"""torchrun on this machine, with errors a person can read.

    NPROC=2 python -m training.launch [--max-restarts N] MODULE [ARGUMENTS]

Starts NPROC processes (an environment variable; 1 if unset) as `torchrun --standalone` does. Where a process has said
what is wrong and how to mend it (exit status 2), torchrun's own report of thirty lines is left out; any other failure
shows it. SIGTERM and SIGUSR1 are passed on to the processes, which save and leave; the exit status is 75 then: the same
command goes on from there.
For several machines call `torchrun` itself: nothing here is needed then.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from runtime.cores import usable_cores
from training.signals import LEAVING, REQUEUE

USAGE = "usage: NPROC=1 python -m training.launch [--max-restarts N] MODULE [ARGUMENTS]"
EXPLAINED = 2  # exit status of an entry point that has printed what is wrong


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    num_processes, num_restarts = os.environ.get("NPROC", "1"), "0"
    if words[:1] == ["--max-restarts"]:
        num_restarts, words = "".join(words[1:2]), words[2:]
    if not words or not num_restarts.isdigit() or not num_processes.isdigit() or num_processes == "0":
        sys.stderr.write(f"{USAGE}; got NPROC={num_processes}, --max-restarts {num_restarts}, MODULE {words[:1]}\n")
        return EXPLAINED
    # torchrun would set 1 for several processes, which leaves cores idle, and warn about it.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // int(num_processes))))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the failure is reported below
    options = ["--standalone", f"--nproc-per-node={num_processes}", "--signals-to-handle=SIGINT,SIGHUP,SIGQUIT"]
    for number in LEAVING:
        signal.signal(number, _pass_on)
    for num_left in reversed(range(int(num_restarts) + 1)):
        try:
            torchrun.run(torchrun.parse_args([*options, "-m", *words]))  # type: ignore[no-untyped-call]
            return 0
        except ChildFailedError as exc:
            if (status := _asked_for(exc)) is not None:
                return status
            if num_left == 0:
                raise
            _, first = exc.get_first_failure()
            sys.stderr.write(
                f"a process ended with status {first.exitcode}: all start again, {num_left} time(s) left\n"
            )
    raise AssertionError("unreachable: the last attempt returns or raises")


def _asked_for(exc: ChildFailedError) -> int | None:
    """Return the exit status of processes that chose to end; None if one died.

    torchrun's own `--max-restarts` would start these again too.
    """
    _, first = exc.get_first_failure()
    if first.exitcode == EXPLAINED:
        return EXPLAINED
    # A process that was asked before it could listen died of the signal, and left the state as it was.
    if any(failure.exitcode in (REQUEUE, *(-number for number in LEAVING)) for failure in exc.failures.values()):
        return REQUEUE
    return None


def _pass_on(number: int, _frame: FrameType | None) -> None:
    """Send a signal to the processes; each is in a session of its own."""
    for thread in Path("/proc/self/task").iterdir():
        for child in (thread / "children").read_text(encoding="ascii").split():
            with suppress(ProcessLookupError):
                os.kill(int(child), number)


if __name__ == "__main__":
    sys.exit(main())
