"""What Slurm says of the job that this process belongs to, and the few things a job asks of Slurm.

The only module that calls `scontrol` and `squeue` and reads `SLURM_*`.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Self

TIME_LIMIT, BATCH_KILLED = "TimeLimit", "JobLaunchFailure"  # as Slurm 22.05 calls them
# States without processes; a job that still has some, or goes back into the queue, is COMPLETING or PENDING.
_ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip


class SlurmError(RuntimeError):
    """Slurm is not there, or refuses; the message says what was asked of it."""


@dataclass(frozen=True)
class Allocation:
    """The resources of one job. nodes: names, the first of which runs the batch script.

    cpus_per_task: as asked for with --cpus-per-task, 0 if it was not. restarts: how often Slurm has requeued the job.
    """

    job_id: str
    job_name: str
    nodes: tuple[str, ...]
    cpus_per_task: int
    restarts: int

    @classmethod
    def current(cls) -> Self:
        """Read the environment. Raises SlurmError outside a job."""
        job_id, node_list = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_JOB_NODELIST")
        if not job_id or not node_list:
            raise SlurmError("this runs inside a Slurm job: use sbatch or salloc (docs/SLURM.md)")
        return cls(
            job_id=job_id,
            job_name=os.environ.get("SLURM_JOB_NAME", ""),
            nodes=tuple(_scontrol("show", "hostnames", node_list).split()),
            cpus_per_task=int(os.environ.get("SLURM_CPUS_PER_TASK", "0")),
            restarts=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        )

    def srun(self, *command: str) -> list[str]:
        """Return the command that runs `command` once on every node of the job."""
        # srun does not take --cpus-per-task over from the job since Slurm 22.05.
        cpus = [f"--cpus-per-task={self.cpus_per_task}"] if self.cpus_per_task else []
        size = [f"--nodes={len(self.nodes)}", f"--ntasks={len(self.nodes)}", "--ntasks-per-node=1"]
        return ["srun", *size, *cpus, "--unbuffered", *command]


def node_address(node: str) -> str:
    """Return the address by which Slurm itself reaches a node; names of nodes need not be names of hosts."""
    return _field("NodeAddr", "node", node)


def requeue(job_id: str) -> bool:
    """Put the job back into the queue, under the same number; return False if somebody cancelled it.

    A job that runs was warned; one that is ending has a reason, and for a cancelled one Slurm gives none.
    """
    state, reason = _field("JobState", "job", job_id), _field("Reason", "job", job_id)
    if state != "RUNNING" and reason not in (TIME_LIMIT, BATCH_KILLED):
        return False
    _scontrol("requeue", job_id)
    return True


def batch_was_killed(job_id: str) -> bool:
    """Tell whether the job is ending because its batch step was killed, so that nobody is left there to requeue it."""
    return _field("Reason", "job", job_id) == BATCH_KILLED


def current_job_id() -> str | None:
    """Return the number of the job that this runs in; None outside a job."""
    return os.environ.get("SLURM_JOB_ID")


def unfinished_jobs() -> set[str]:
    """Return the numbers of all jobs that wait, run, or still have processes or go back into the queue."""
    lines = _asked("squeue", "--noheader", "--all", "--array", "--states=all", "--format=%A %T").splitlines()
    return {number for number, state in map(str.split, lines) if state not in _ENDED}


def _field(name: str, kind: str, which: str) -> str:
    text = _scontrol("show", "--oneliner", kind, which)
    found = re.search(rf"(?:^|\s){name}=(\S+)", text)
    if found is None:
        raise SlurmError(f"scontrol show {kind} {which} says no {name}: {text.strip()}")
    return found[1]


def _scontrol(*arguments: str) -> str:
    return _asked("scontrol", *arguments)


def _asked(name: str, *arguments: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise SlurmError(f"there is no Slurm here: {name} is not on the PATH")
    # Of what a user has set for squeue, filters would hide jobs.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SQUEUE_")}
    done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SlurmError(f"{name} {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
