"""torchrun on this machine, with errors a person can read: `python -m training.launch MODULE [ARGUMENTS]`.

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

EXPLAINED = 2  # exit status of an entry point that has printed what is wrong


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    num_processes = os.environ.get("NPROC", "1")
    if not words or not num_processes.isdigit() or num_processes == "0":
        sys.stderr.write(f"usage: NPROC=1 python -m training.launch MODULE [ARGUMENTS]; got NPROC={num_processes}\n")
        return EXPLAINED
    # torchrun would set 1 for several processes, which leaves cores idle, and warn about it.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // int(num_processes))))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the failure is reported below
    options = ["--standalone", f"--nproc-per-node={num_processes}", "--signals-to-handle=SIGINT,SIGHUP,SIGQUIT"]
    for number in LEAVING:
        signal.signal(number, _pass_on)
    try:
        torchrun.run(torchrun.parse_args([*options, "-m", *words]))  # type: ignore[no-untyped-call]
    except ChildFailedError as exc:
        _, first = exc.get_first_failure()
        if first.exitcode == EXPLAINED:
            return EXPLAINED
        # A process that was asked before it could listen died of the signal, and left the state as it was.
        if any(failure.exitcode in (REQUEUE, *(-number for number in LEAVING)) for failure in exc.failures.values()):
            return REQUEUE
        raise
    return 0


def _pass_on(number: int, _frame: FrameType | None) -> None:
    """Send a signal to the processes; each is in a session of its own."""
    for thread in Path("/proc/self/task").iterdir():
        for child in (thread / "children").read_text(encoding="ascii").split():
            with suppress(ProcessLookupError):
                os.kill(int(child), number)


if __name__ == "__main__":
    sys.exit(main())
