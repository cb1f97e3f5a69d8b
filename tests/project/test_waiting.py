"""Commands that compute have OpenMP's threads sleep while they wait; what a person set counts."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
PACKAGE = "from project.waiting import sleep_while_waiting\n\nsleep_while_waiting(__name__)\n"
SAY = "import os, sys\nimport room\nsys.stdout.write(os.environ.get('OMP_WAIT_POLICY', 'unset'))"


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "room").mkdir()
    (tmp_path / "room/__init__.py").write_text(PACKAGE)
    (tmp_path / "room/command.py").write_text(SAY)
    return tmp_path


def _said(folder: Path, *words: str, **environment: str) -> str:
    environment |= {"PYTHONPATH": f"{REPOSITORY}:{folder}"}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def test_threads_of_a_command_sleep_unless_the_environment_says_otherwise(room: Path) -> None:
    assert _said(room, "-m", "room.command") == "passive"
    assert _said(room, "-m", "room.command", OMP_WAIT_POLICY="active") == "active"
    assert _said(room, "-c", SAY) == "unset"  # imported by another, such as a benchmark


def test_every_room_that_computes_with_pytorch_or_scikit_learn_does_so() -> None:
    for name in ("dataset", "evaluation", "export", "training"):
        assert "sleep_while_waiting(__name__)" in (REPOSITORY / name / "__init__.py").read_text(encoding="utf-8")
