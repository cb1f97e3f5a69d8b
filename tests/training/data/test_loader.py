"""Loading processes that outlive a request to leave, and nothing else."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

from training.data.loader import Loader
from training.process.signals import LEAVING

REPOSITORY = Path(__file__).parents[3]
BEGUN = """
import torch
from torch.utils.data import TensorDataset
from training.data.loader import Loader
begun = iter(Loader(TensorDataset(torch.arange(100)), batch_size=1, num_workers=2))
next(begun)
print(*(process.pid for process in begun._workers), flush=True)
"""


def _begun(then: str) -> subprocess.Popen[str]:
    """A process with a loader of two processes, under way; it prints their numbers."""
    return subprocess.Popen(
        [sys.executable, "-c", BEGUN + then], cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet has ended, too."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def test_loading_processes_go_on_when_they_are_asked_to_leave() -> None:
    loader: Loader[list[torch.Tensor]] = Loader(TensorDataset(torch.arange(50)), batch_size=1, num_workers=2)
    batches = iter(loader)
    found = [next(batches)]
    pids = [process.pid for process in batches._workers]  # type: ignore[attr-defined]
    code = f"import os; [os.kill(pid, number) for pid in {pids} for number in {[int(n) for n in LEAVING]}]"
    subprocess.run([sys.executable, "-c", code], check=True)  # from another process than the one that reads
    found += batches
    assert torch.cat([batch for (batch,) in found]).tolist() == list(range(50))
    assert not set(LEAVING) & signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.slow
def test_a_crash_with_a_loader_under_way_ends_the_process_and_its_loading_processes() -> None:
    process = _begun("raise RuntimeError('a bug')")
    try:
        printed, error = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "a bug" in error
    assert all(_is_gone(int(pid)) for pid in printed.split())


@pytest.mark.slow
def test_loading_processes_end_when_the_process_that_made_them_is_killed() -> None:
    process = _begun("import time; time.sleep(600)")
    assert process.stdout is not None
    loading = [int(pid) for pid in process.stdout.readline().split()]
    assert len(loading) == 2
    process.kill()
    deadline = time.monotonic() + 600
    while not all(_is_gone(pid) for pid in loading) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert all(_is_gone(pid) for pid in loading)
    process.communicate()
