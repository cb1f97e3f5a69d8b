"""The launcher loses no request to leave, whether or not there is a process yet to take it."""

import os
from pathlib import Path

import pytest

from tests.forking_python import forking_python

REPOSITORY = Path(__file__).parent.parent.parent
# Stands in for torchrun: what happens in an attempt, which then fails with the status of its one process.
SCRIPT = """
import os, signal, subprocess, sys
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from training import launch

def attempt(options):
    print("attempt", flush=True)
    raise ChildFailedError("rank", {{0: ProcessFailure(local_rank=0, pid=1, exitcode=status(), error_file="<N/A>")}})

def status():
{status}

launch.torchrun.run = attempt
sys.exit(launch.main(["--max-restarts", "1", "a.module"]))
"""
ASKED_BEFORE = """
    os.kill(os.getpid(), signal.SIGUSR1)
    # Its end by the signal is waited for; the sleep only bounds what a lost signal leaves behind.
    late = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True)
    return late.wait()
"""
ASKED_AFTER_A_DEATH = """
    os.kill(os.getpid(), signal.SIGTERM)
    return -signal.SIGKILL
"""
ENDED_BY_TORCHRUN = """
    return -signal.SIGTERM
"""


INTERRUPTED_BEFORE = """
    os.kill(os.getpid(), signal.SIGINT)
    late = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True)
    return late.wait()
"""
INTERRUPTED_TWICE = """
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(100)"
    child = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE)
    child.stdout.read(1)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    return child.wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("happening", "expected", "num_attempts"),
    [
        (ASKED_BEFORE, 75, 1),
        (ASKED_AFTER_A_DEATH, 75, 1),
        (ENDED_BY_TORCHRUN, 1, 2),
        (INTERRUPTED_BEFORE, 130, 1),
        (INTERRUPTED_TWICE, 130, 1),
    ],
)
def test_a_request_reaches_processes_that_start_after_it_and_ends_restarts(
    happening: str, expected: int, num_attempts: int
) -> None:
    words = ["-c", SCRIPT.format(status=happening)]
    done = forking_python().run(words, REPOSITORY, {**os.environ, "NPROC": "1"}, timeout_s=600)
    assert done.returncode == expected, done.stderr[-2000:]
    assert done.stdout.count("attempt") == num_attempts
    assert ("all start again" in done.stderr) == (num_attempts > 1)
    if expected == 130:
        line = "training: stopped; the same command goes on from what is saved, or begins again"
        assert done.stderr.strip() == line
