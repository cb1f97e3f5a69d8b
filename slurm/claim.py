"""Whose the folder `artifacts/` is: one job's or one chain's, from the start of its first job to the end of its last.

A second training from the same checkout would remove the states that the first one goes on from, and links would export
the one's model and measure the other's. The claim is a file with the number of the chain's first job, the job's own if
it is alone. It outlasts a requeue, and is void once no job of that chain waits or runs.
"""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project.write_whole import write_whole
from slurm.allocation import SlurmError, unfinished_jobs

SCRATCH_DIR = Path("artifacts/slurm")  # what the jobs of a checkout know of each other; slurm/chain.sh writes there too
CLAIM_FILE = "claim"
logger = logging.getLogger(__name__)


@contextmanager
def claimed(job_id: str, chain: str = "", folder: Path = SCRATCH_DIR) -> Iterator[None]:
    """Hold the claim on `artifacts/` while a job works; raises SlurmError, naming whose it is, if it is another's.

    folder: on the disk that all nodes share. chain: number of the chain's first job, empty for a job that is alone. Who
    leaves by an exception, as a job that goes back into the queue does, keeps the claim.
    """
    chain = chain or job_id
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one_at_a_time(folder):
        _take(folder, chain)
    yield
    try:
        with _only_one_at_a_time(folder):
            if not _unfinished_of(folder, chain) - {job_id}:
                _forget(folder, chain)
    except (SlurmError, OSError) as exc:  # the work is done; the claim is void when Slurm has forgotten the job
        logger.warning("the claim on artifacts/ stays for now: %s", exc)


def members_path(folder: Path, chain: str) -> Path:
    """Return where `slurm/chain.sh` notes the numbers of a chain's jobs, one a line."""
    return folder / f"chain-{chain}"


def _take(folder: Path, chain: str) -> None:
    path = folder / CLAIM_FILE
    owner = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    if owner and owner != chain:
        unfinished = sorted(_unfinished_of(folder, owner), key=int)
        if unfinished:
            raise SlurmError(
                f"artifacts/ belongs to job {', '.join(unfinished)}, which has not ended: wait for it, or work in "
                f"another checkout (git worktree). If that job has nothing to do with this checkout, remove {path}"
            )
        _forget(folder, owner)
    write_whole(path, chain)


def _unfinished_of(folder: Path, chain: str) -> set[str]:
    path = members_path(folder, chain)
    members = path.read_text(encoding="utf-8").split() if path.is_file() else []
    return {chain, *members} & unfinished_jobs()


def _forget(folder: Path, chain: str) -> None:
    (folder / CLAIM_FILE).unlink(missing_ok=True)
    members_path(folder, chain).unlink(missing_ok=True)


@contextmanager
def _only_one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / f"{CLAIM_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
