"""The batch step of a job: heard warnings, and a module run on all nodes until it is done.

A step that fails is started again, in the same allocation, until it has failed three times in a row for one reason. A
job that was warned, by Slurm before the time limit or by whoever preempts, ends what it does and is requeued; training
saves first and goes on from there. A node that dies ends the job and Slurm requeues it; what it goes on from is the
module's own state on disk, then too.
"""

import logging
import shutil
import signal
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from project.command import EXPLAINED
from project.params import ParamsError
from slurm.agent_failure import first_failure
from slurm.allocation import Allocation, SlurmError, requeue
from slurm.attempts import MAX_SAME_FAILURES, Attempts
from slurm.warning import Warned, Warnings
from training.process.signals import REQUEUE

# After the first node is done the others get this long: to save, or to notice that a peer is gone.
GRACE_S = 120
NODES_EVERY_S = 10
logger = logging.getLogger(__name__)


def batch_step(work: Callable[[Allocation, Warnings], int]) -> int:
    """Do a job's work and return the status that it ends with: that of the work, 2 if something has to be changed.

    75: warned, and requeued unless the job was cancelled.
    """
    with Warnings() as warnings:
        try:
            allocation = Allocation.current()
            try:
                return work(allocation, warnings)
            except Warned:
                return _leave(allocation.job_id)
            except (SlurmError, ParamsError, OSError):
                if warnings.is_given:  # it may have reached more than this process
                    return _leave(allocation.job_id)
                raise
        except (SlurmError, ParamsError, OSError) as exc:
            sys.stderr.write(f"train: {exc}\n")
            return EXPLAINED


def run_on_all_nodes(
    allocation: Allocation, warnings: Warnings, attempts: Attempts, head: str, module: Sequence[str]
) -> int:
    """Run `module`, MODULE [ARGUMENTS], until it is done, and return 0; 2 if it said what to change.

    1: the same failure three times in a row. head: host:port where all meet. Raises Warned after the processes were
    told to stop, and saved.
    """
    failures_dir = attempts.path.with_suffix(".failures")  # what nodes say of the last one
    while True:
        shutil.rmtree(failures_dir, ignore_errors=True)
        # SIGTERM would have srun kill the processes, so both warnings become SIGUSR1.
        status = warnings.run(_command(allocation, head, failures_dir, module), signal.SIGUSR1).returncode
        if status == EXPLAINED:
            return status
        if status == 0:
            attempts.record(status, None)
            return status
        # A process that was warned before it could listen dies of the warning: no failure of the run's.
        if status == REQUEUE or warnings.is_given:
            attempts.record(status, None)
            raise Warned
        failure = first_failure(failures_dir, status)
        attempts.record(status, failure)
        number = attempts.same_failures()
        where = f"rank {failure.rank} on {failure.node}: " if failure.node else ""
        logger.error("failed (%d of %d in a row): %s%s", number, MAX_SAME_FAILURES, where, failure.reason)
        if number >= MAX_SAME_FAILURES:
            logger.error("stopped: %s, %d times in a row; not tried again", failure.reason, number)
            return 1
        _wait_for_nodes(allocation, warnings)


def _wait_for_nodes(allocation: Allocation, warnings: Warnings) -> None:
    """Return when all nodes answer, and count nothing meanwhile.

    Slurm takes minutes to notice that a node is dead (SlurmdTimeout); then it ends and requeues the job.
    """
    while warnings.run(allocation.srun("true")).returncode:
        warnings.check()
        logger.warning("a node does not answer; trying again until it does, or until Slurm requeues the job")
        warnings.run(["sleep", str(NODES_EVERY_S)])  # a sleep that a warning ends
    warnings.check()


def _command(allocation: Allocation, head: str, failures_dir: Path, module: Sequence[str]) -> list[str]:
    agent = [".venv/bin/python", "-m", "slurm.agent", "--head", head, "--failures", str(failures_dir)]
    # A new name every time: what is left of an attempt that died must not join the next.
    run_id = f"{allocation.job_id}-{uuid.uuid4().hex[:8]}"
    command = allocation.srun(*agent, "--run-id", run_id, "--", *module)
    return [command[0], f"--wait={GRACE_S}", "--kill-on-bad-exit=0", *command[1:]]


def _leave(job_id: str) -> int:
    """Requeue the job, unless somebody cancelled it."""
    try:
        if requeue(job_id):
            logger.info("job %s goes back into the queue", job_id)
        else:
            logger.info("Slurm ends the job itself; if it was cancelled, submit it again to go on from what is saved")
    except SlurmError as exc:  # the limit may have come first: then it is Slurm's or the user's to start it again
        logger.error("%s; state is saved, submit the job again to go on", exc)
    return REQUEUE
