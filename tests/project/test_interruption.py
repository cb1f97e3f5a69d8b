"""Ctrl-C ends a command with one line and status 130, while it imports as well as while it works."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from project.interruption import remembered

REPOSITORY = Path(__file__).parent.parent.parent
PACKAGE = "from project.interruption import end_in_one_line\n\nend_in_one_line(__name__)\n"
SLOW = """
import time

def work():
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("closed", flush=True)

{when}
"""


@pytest.mark.parametrize("when", ["work()  # as an import that takes long", "if __name__ == '__main__': work()"])
def test_a_command_ends_with_one_line_and_closes_what_is_open(when: str, tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room/__init__.py").write_text(PACKAGE)
    (tmp_path / "room/command.py").write_text(SLOW.format(when=when))
    done = _interrupted([sys.executable, "-m", "room.command", "--option"], tmp_path)
    line = "room.command: stopped; the same command goes on from what is saved, or begins again"
    assert done == (130, "closed\n", f"\n{line}\n")


def test_another_command_and_another_error_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room/__init__.py").write_text(PACKAGE)
    (tmp_path / "room/command.py").write_text("raise KeyError('a bug')")
    status, _, error = _interrupted([sys.executable, "-c", f"import room\n{SLOW.format(when='work()')}"], tmp_path)
    assert status == -signal.SIGINT
    assert "Traceback" in error
    command = [sys.executable, "-m", "room.command"]
    bug = subprocess.run(command, cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True)
    assert bug.returncode == 1
    assert "KeyError: 'a bug'" in bug.stderr


class _PressedWhileFinalised:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_ctrl_c_that_python_drops_is_remembered_where_one_waits_and_at_the_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _drop_a_ctrl_c()
    assert signal.getsignal(signal.SIGINT) is before


def _drop_a_ctrl_c() -> None:
    with remembered() as check:
        check()
        _PressedWhileFinalised()
        with pytest.raises(KeyboardInterrupt):
            check()


def test_nothing_is_remembered_where_ctrl_c_is_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with remembered() as check:
            signal.raise_signal(signal.SIGINT)
            check()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_every_room_with_commands_of_its_own_does_so() -> None:
    for room in ("benchmarks", "dataset", "evaluation", "export", "scoring", "training"):
        assert "end_in_one_line(__name__)" in (REPOSITORY / room / "__init__.py").read_text(encoding="utf-8")


def _interrupted(command: list[str], folder: Path) -> tuple[int, str, str]:
    """Press Ctrl-C once the command says that it has begun."""
    process = subprocess.Popen(
        command, cwd=folder, env=_environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        restore_signals=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=300)
    return process.returncode, output, error


def _environment(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{REPOSITORY}:{folder}", "PATH": ""}
