"""Run a module on all nodes of a job until it is done, for the batch step of a job.

A step that fails is started again, in the same allocation, until it has failed three times in a row for one reason. A
step that was told to stop, by Slurm before the time limit or by whoever preempts, saves and leaves with status 75: the
job is requeued and goes on from there. A node that dies ends the job and Slurm requeues it; what it goes on from is the
module's own state on disk, then too.
"""

import logging
import shutil
import signal
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from slurm.agent_failure import EXPLAINED, REQUEUE, first_failure
from slurm.allocation import Allocation, SlurmError, requeue
from slurm.attempts import MAX_SAME_FAILURES, Attempts

WARNINGS = (signal.SIGUSR1, signal.SIGTERM)
# After the first node is done the others get this long: to save, or to notice that a peer is gone.
GRACE_S = 120
logger = logging.getLogger(__name__)


def run_on_all_nodes(allocation: Allocation, head: str, scratch_dir: Path, module: Sequence[str]) -> int:
    """Run `module`, MODULE [ARGUMENTS], and return the status that the job ends with.

    scratch_dir: on the shared disk, for what nodes report. 0: done. 75: told to stop; requeued unless it was cancelled.
    2: the module said what to change. 1: the same failure three times in a row.
    """
    attempts = Attempts(scratch_dir / "attempts.jsonl", allocation.job_id)
    while True:
        failures_dir = scratch_dir / f"failures-{allocation.job_id}"
        shutil.rmtree(failures_dir, ignore_errors=True)
        step = _Step(_command(allocation, head, failures_dir, module))
        status = step.run()
        if status in (0, EXPLAINED):
            return status
        # A process that was warned before it could listen dies of the warning: no failure of the run's.
        if status == REQUEUE or step.was_warned:
            attempts.record(status, None)
            return _leave(allocation.job_id)
        failure = first_failure(failures_dir, status)
        attempts.record(status, failure)
        number = attempts.same_failures()
        where = f"rank {failure.rank} on {failure.node}: " if failure.node else ""
        logger.error("failed (%d of %d in a row): %s%s", number, MAX_SAME_FAILURES, where, failure.reason)
        if number >= MAX_SAME_FAILURES:
            logger.error("stopped: %s, %d times in a row; not tried again", failure.reason, number)
            return 1


def _command(allocation: Allocation, head: str, failures_dir: Path, module: Sequence[str]) -> list[str]:
    agent = [".venv/bin/python", "-m", "slurm.agent", "--head", head, "--failures", str(failures_dir)]
    # A new name every time: what is left of an attempt that died must not join the next.
    run_id = f"{allocation.job_id}-{uuid.uuid4().hex[:8]}"
    command = allocation.srun(*agent, "--run-id", run_id, "--", *module)
    return [command[0], f"--wait={GRACE_S}", "--kill-on-bad-exit=0", *command[1:]]


class _Step:
    """One srun, and whether this process was warned while it ran."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self.was_warned = False

    def run(self) -> int:
        before = {number: signal.signal(number, self._pass_on) for number in WARNINGS}
        try:
            with subprocess.Popen(self._command) as self._process:
                return self._process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Tell the processes to save. SIGTERM would have srun kill them, so both warnings become SIGUSR1."""
        del frame
        logger.info("%s: the processes save and leave", signal.Signals(number).name)
        self.was_warned = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGUSR1)


def _leave(job_id: str) -> int:
    """Requeue the job, unless somebody cancelled it."""
    try:
        if requeue(job_id):
            logger.info("saved; job %s goes back into the queue", job_id)
        else:
            logger.info("cancelled: state is saved, submit the job again to go on")
    except SlurmError as exc:  # the limit may have come first: then it is Slurm's or the user's to start it again
        logger.error("%s; state is saved, submit the job again to go on", exc)
    return REQUEUE
