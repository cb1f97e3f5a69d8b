"""A job whose node has gone waits for it and counts nothing; a stand-in for srun says when the node answers.

Real Slurm notices a dead node within seconds on the cluster of these tests, long before a job could fail three times.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from slurm import job
from slurm.allocation import Allocation
from slurm.attempts import Attempts
from slurm.job import run_on_all_nodes
from slurm.warning import Warned, Warnings


@dataclass(frozen=True)
class Scripted(Allocation):
    """Runs a line of shell instead of what the nodes would run: one for the module, one for whether they answer."""

    module: str = ""
    answer: str = ""

    def srun(self, *command: str) -> list[str]:
        return ["sh", "-c", self.answer if command == ("true",) else self.module]


def scripted(module: str, answer: str) -> Scripted:
    return Scripted("7", "", ("node1", "node2"), 0, 0, module, answer)


@pytest.fixture(autouse=True)
def _where_scripts_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "NODES_EVERY_S", 0)
    # As it is, options of srun would come between `sh` and its own.
    monkeypatch.setattr(job, "_command", lambda allocation, *_: allocation.srun("module"))


def test_a_job_waits_until_all_nodes_answer_and_counts_one_failure(tmp_path: Path) -> None:
    module = "echo module >> said; test -e back"
    answer = "echo asked >> said; test $(grep -c asked said) -eq 5 && touch back"
    allocation = scripted(module, answer)
    attempts = Attempts(tmp_path, allocation)
    with Warnings() as warnings:
        assert run_on_all_nodes(allocation, warnings, attempts, "head:1", ["module"]) == 0
    assert (tmp_path / "said").read_text().split() == ["module", *["asked"] * 5, "module"]
    assert len(attempts.path.read_text().splitlines()) == 2


def test_a_warning_ends_the_wait(tmp_path: Path) -> None:
    allocation = scripted("exit 1", "echo asked >> said; kill -USR1 $PPID; exit 1")
    attempts = Attempts(tmp_path, allocation)
    with Warnings() as warnings, pytest.raises(Warned):
        run_on_all_nodes(allocation, warnings, attempts, "head:1", ["module"])
    assert (tmp_path / "said").read_text().split() == ["asked"]
