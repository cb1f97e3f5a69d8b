"""How a training command ends: the same for every one that runs on any number of processes."""

import logging
import sys
from collections.abc import Callable

from project.command import EXPLAINED
from project.interruption import INTERRUPTED, said_of
from project.parent_death import die_with_parent
from training.process.distributed import Worker, worker
from training.process.memory import keep_freed_memory
from training.process.signals import REQUEUE, LeaveRequest, Requeue, is_under_torchrun, leave_requests

logger = logging.getLogger(__name__)


def exit_status(what: str, known: tuple[type[Exception], ...], body: Callable[[Worker, LeaveRequest], None]) -> int:
    """Run the body in this process and return the exit status: 75 if asked to leave and saved, 130 if that was by
    Ctrl-C, 2 after a known error.

    A known error is said by the first process that meets it, after `what`. One that the others do not meet ends them as
    well, when they wait for that process; of this nothing more is to be said.
    """
    if is_under_torchrun():
        die_with_parent()
    keep_freed_memory()
    with worker() as this, leave_requests() as leaving:
        logging.basicConfig(level=logging.INFO if this.is_main else logging.WARNING, format="%(message)s")
        try:
            body(this, leaving)
        except known as exc:
            if this.is_first_to_explain(str(exc)):
                sys.stderr.write(f"{what}: {exc}\n")
            return EXPLAINED
        except Requeue as exc:
            logger.info("%s; the same command goes on from here", exc)
            return INTERRUPTED if leaving.is_interrupt else REQUEUE
        except KeyboardInterrupt:
            sys.stderr.write(f"\n{said_of(what)}\n")
            return INTERRUPTED
        except RuntimeError:  # PyTorch's, where another process is gone
            if not this.has_explained():
                raise
            return EXPLAINED
    return 0
