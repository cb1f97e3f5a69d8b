"""One recipe a job: what training gets, all that follows gets too. Nothing is trained here."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from project.params import ParamsError
from slurm import train
from slurm.allocation import Allocation
from slurm.attempts import Attempts
from slurm.warning import Warnings

REPOSITORY = Path(__file__).parents[2]


class Recorded(Warnings):
    """Runs nothing and remembers what it should have run."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[list[str]] = []

    def run(self, command: Sequence[str], *_: Any, **__: Any) -> CompletedProcess[str]:
        self.commands.append(list(command))
        return CompletedProcess(command, 0, "")

    def params_of(self, module: str) -> str:
        (command,) = (command for command in self.commands if module in command)
        return command[command.index("--params") + 1]


@pytest.fixture(autouse=True)
def _checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    (tmp_path / "own.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    (tmp_path / "found").mkdir()
    (tmp_path / "found/params.best.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)


def work(monkeypatch: pytest.MonkeyPatch, *options: str, restarts: int = 0) -> Recorded:
    """Do a job's work and return what it ran, training among it."""
    recorded = Recorded()

    def trained(
        allocation: Allocation, warnings: Warnings, attempts: Attempts, module: Sequence[str], port: int = 0
    ) -> int:
        attempts.record(0, None)
        return recorded.run(module).returncode

    monkeypatch.setattr(train, "train", trained)
    allocation = Allocation("7", "", ("node1",), 0, restarts)
    train._arguments(parser := argparse.ArgumentParser())
    assert train._work(parser.parse_args(options), allocation, recorded) == 0
    return recorded


AFTERWARDS = ("training.leaking_split", "evaluation.evaluate", "export.export", "export.register")


@pytest.mark.parametrize(
    ("options", "path"),
    [((), "params.yaml"), (("--params", "own.yaml"), "own.yaml"), (("--best-of", "found"), "found/params.best.yaml")],
)
def test_all_links_get_the_file_that_was_trained_with(
    options: tuple[str, ...], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = work(monkeypatch, *options)
    assert [recorded.params_of(module) for module in ("training.train", *AFTERWARDS)] == [path] * 5


def test_a_job_requeued_after_training_does_not_ask_the_search_for_another_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work(monkeypatch, "--best-of", "found")
    again = work(monkeypatch, "--best-of", "found", restarts=1)
    assert not [command for command in again.commands if "training.search" in command or "training.train" in command]
    assert again.params_of("export.register") == "found/params.best.yaml"


def test_a_file_that_the_links_would_refuse_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own.yaml").write_text("train: {}\n")
    with pytest.raises(ParamsError, match=r"own\.yaml has no section 'data'"):
        work(monkeypatch, "--params", "own.yaml")
