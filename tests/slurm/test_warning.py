"""Warnings reach a batch step whenever they come: as it imports, while something runs, before something starts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slurm.warning import Warned, Warnings

LISTENER = """
import sys, time
from pathlib import Path
Path("importing").touch()
while not Path("told").exists():
    time.sleep(0.01)
from slurm.warning import Warned, Warnings
with Warnings() as warnings:
    try:
        warnings.run(["touch", "started"])
    except Warned:
        sys.exit(75)
"""


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_warning_during_the_import_is_heard_afterwards(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "listener.py").write_text(LISTENER)
    environment = {**os.environ, "PYTHONPATH": f"{Path.cwd()}:{tmp_path}"}
    command = [sys.executable, "-m", "slurm.early", "listener"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
        while not (tmp_path / "importing").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        (tmp_path / "told").touch()
    assert process.returncode == 75
    assert not (tmp_path / "started").exists()


def test_what_runs_is_told_and_its_status_returned_and_nothing_starts_after_it(tmp_path: Path) -> None:
    script = f"trap 'exit 7' USR1; kill -TERM {os.getpid()}; while :; do sleep 0.1; done"
    before = signal.getsignal(signal.SIGTERM)
    with Warnings() as warnings:
        assert warnings.run(["true"]).returncode == 0
        assert warnings.run(["bash", "-c", script], signal.SIGUSR1).returncode == 7
        with pytest.raises(Warned):
            warnings.run(["touch", str(tmp_path / "started")])
    assert not (tmp_path / "started").exists()
    assert signal.getsignal(signal.SIGTERM) == before


class _Late(Warnings):
    """Is warned at the worst time: when it is decided that the command starts, and nobody is there yet to be told."""

    def check(self) -> None:
        super().check()
        signal.raise_signal(signal.SIGUSR1)


def test_a_command_that_starts_as_the_warning_comes_is_told() -> None:
    with _Late() as warnings:
        assert warnings.run(["sleep", "60"]).returncode == -signal.SIGTERM


def test_what_a_command_prints_is_returned() -> None:
    with Warnings() as warnings:
        assert warnings.run(["echo", "ready"], stdout=subprocess.PIPE).stdout == "ready\n"
