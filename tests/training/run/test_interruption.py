"""Ctrl-C in training: asked once, a run is saved and left; asked twice, or with nothing to save yet, it ends."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.process.distributed import Worker
from training.process.exit_status import exit_status
from training.process.signals import LeaveRequest, Requeue, leave_requests

REPOSITORY = Path(__file__).parents[3]


def test_before_a_run_looks_at_requests_ctrl_c_is_not_put_off() -> None:
    with leave_requests(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_run_that_looks_is_asked_once_and_interrupted_the_second_time() -> None:
    with leave_requests() as leaving:
        leaving.is_heeded = True
        signal.raise_signal(signal.SIGINT)
        assert (leaving.is_made, leaving.is_interrupt) == (True, True)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_under_torchrun_it_is_a_request_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with leave_requests() as leaving:
        signal.raise_signal(signal.SIGINT)
        assert (leaving.is_made, leaving.is_interrupt) == (True, False)


@pytest.mark.parametrize("is_heeded", [True, False])
def test_the_status_is_130_and_one_line_says_what_goes_on(
    is_heeded: bool, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def body(_this: Worker, leaving: LeaveRequest) -> None:
        leaving.is_heeded = is_heeded
        signal.raise_signal(signal.SIGINT)
        raise Requeue("asked to leave after step 3; saved")

    caplog.set_level(logging.INFO)
    assert exit_status("training", (), body) == 130
    said = [*caplog.messages, *capsys.readouterr().err.split("\n")]
    assert [line for line in said if line] == [
        "asked to leave after step 3; saved; the same command goes on from here"
        if is_heeded
        else "training: stopped; the same command goes on from what is saved, or begins again"
    ]


@pytest.mark.slow
def test_ctrl_c_at_a_terminal_saves_all_processes_and_leaves_none(tmp_path: Path) -> None:
    """A terminal sends it to the group of `training.launch`; torchrun's processes are in groups of their own."""
    environment = {**os.environ, "NPROC": "2", "PYTHONPATH": str(REPOSITORY)}
    launcher = subprocess.Popen(
        [sys.executable, "-m", "training.launch", "tests.training.run.leaving", str(tmp_path)], cwd=REPOSITORY,
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    while len(list(tmp_path.glob("begun-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = [int(pid) for pid in _descendants(launcher.pid)]
    assert len(children) >= 2
    os.killpg(launcher.pid, signal.SIGINT)
    _, error = launcher.communicate(timeout=600)
    assert launcher.returncode == 130
    assert error.strip().splitlines() == ["asked to leave after step 7; saved; the same command goes on from here"]
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def _descendants(pid: int) -> list[str]:
    own = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return own + [further for child in own for further in _descendants(int(child))]
