"""What can happen to a job over two nodes; test_train.py has a warning and the death of a node and of a batch step."""

import json
import os
import random
import signal
from pathlib import Path

import pytest

from tests.slurm.conftest import Project, hold_readers
from tests.slurm.counting_run import NUM_STEPS

pytestmark = pytest.mark.slow


@pytest.fixture
def counting(project: Project, tiny_tiles_dir: Path) -> Project:
    (project.folder / "data").symlink_to(tiny_tiles_dir)
    (project.folder / "run").mkdir()
    return project


def submit(project: Project, *options: str) -> str:
    options = ("--nodes=2", "--requeue", "--open-mode=append", "--output=logs/%j.out", *options)
    return project.submit(*options, "--wrap", "exec .venv/bin/python -m slurm.early tests.slurm.counting_job run")


def start(project: Project) -> str:
    """Submit the job and return once both processes wait in step 2, at the gate."""
    (project.folder / "run/gate").touch()
    job = submit(project)
    project.wait((project.folder / "run/reached").exists, "step 2")
    return job


def node_of(pid: int) -> str:
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (name,) = (entry.partition(b"=")[2] for entry in environment if entry.startswith(b"SLURMD_NODENAME="))
    return name.decode()


def check_result(project: Project) -> None:
    """What an undisturbed run gives, to the last bit."""
    total = 0.0
    for step in range(NUM_STEPS):
        total += sum(random.Random(100 * step + rank).random() for rank in (0, 1))
    result = json.loads((project.folder / "run/result.json").read_text())
    assert result == {"step": NUM_STEPS, "total": total, "ranks": 2}


def test_a_killed_process_is_started_again_and_the_result_is_the_same(counting: Project) -> None:
    job = start(counting)
    pid = int((counting.folder / "run/rank1.pid").read_text())
    node = node_of(pid)  # the order in which the two arrived decides
    os.kill(pid, signal.SIGKILL)
    (counting.folder / "run/gate").unlink()
    assert counting.finish(job) == "COMPLETED"
    check_result(counting)
    assert f"failed (1 of 3 in a row): rank 1 on {node}: killed by SIGKILL" in counting.logs()


def test_a_time_limit_has_the_job_requeued_before_it_and_resumed(counting: Project) -> None:
    (counting.folder / "run/gate").touch()
    job = submit(counting, "--time=2", "--signal=B:USR1@90")  # Slurm may send it up to a minute earlier
    counting.wait_requeued(job)
    counting.run("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    (counting.folder / "run/gate").unlink()
    assert counting.finish(job) == "COMPLETED"
    check_result(counting)
    assert "SIGUSR1: what runs is told to save and leave" in counting.logs()


def test_a_job_that_is_preempted_saves_and_goes_on_afterwards(counting: Project) -> None:
    job = start(counting)
    urgent = counting.submit("--nodes=2", "--partition=urgent", "--output=logs/%j.out", "--wrap", "true")
    counting.wait_requeued(job)
    assert counting.finish(urgent) == "COMPLETED"
    assert json.loads((counting.folder / "run/state.json").read_text())["step"] == 3
    (counting.folder / "run/gate").unlink()
    assert counting.finish(job) == "COMPLETED"
    check_result(counting)
    assert counting.fields(job)["Restarts"] == "1"


def test_a_warning_while_the_nodes_are_looked_at_has_the_job_requeued(project: Project) -> None:
    (project.folder / "data").mkdir()
    os.mkfifo(project.folder / "data/manifest.csv")
    job = submit(project)
    with hold_readers(project, project.folder / "data/manifest.csv"):
        project.run("scancel", "--batch", "--signal=USR1", job)
        project.wait_requeued(job)
    assert "PROBLEM" not in project.logs()


def test_a_cancelled_job_saves_and_stays_cancelled(counting: Project) -> None:
    job = start(counting)
    counting.run("scancel", job)
    assert counting.finish(job) == "CANCELLED"
    counting.cluster.wait_idle()
    assert json.loads((counting.folder / "run/state.json").read_text())["step"] == 3
    assert counting.fields(job)["Restarts"] == "0"


def test_the_same_failure_three_times_stops_the_job_with_its_reason(counting: Project) -> None:
    (counting.folder / "run/fail").touch()
    job = submit(counting)
    assert counting.finish(job) == "FAILED"
    assert "stopped: ArithmeticError: step 0 failed at address N, 3 times in a row; not tried again" in counting.logs()
    assert len((counting.folder / f"artifacts/slurm/attempts-{job}.jsonl").read_text().splitlines()) == 3
