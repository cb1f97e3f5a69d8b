"""What batch scripts hand to srun; a stand-in for it prints its arguments."""

import os
import subprocess
from pathlib import Path

import pytest

SLURM = Path(__file__).parents[2] / "slurm"
TASK = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}


def said(script: str, folder: Path, *arguments: str, **environment: str) -> list[str]:
    """Run a batch script as Slurm would, in an environment of `environment`, and return srun's arguments."""
    srun = folder / "srun"
    srun.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    srun.chmod(0o755)
    environment |= {"PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["bash", str(SLURM / script), *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.parametrize("script", ["score.sbatch", "search.sbatch"])
def test_all_cores_of_a_task_are_its_steps(script: str, tmp_path: Path) -> None:
    assert said(script, tmp_path, "run", SLURM_CPUS_PER_TASK="16", **TASK)[0] == "--cpus-per-task=16"
    assert said(script, tmp_path, "run", **TASK)[0] == ".venv/bin/python"


def test_a_scoring_task_takes_the_options_of_scoring_and_says_which_task_it_is(tmp_path: Path) -> None:
    arguments = said("score.sbatch", tmp_path, "a run", "--batch-size", "32", **TASK)
    expected = ["scoring.score", "a run", "--batch-size", "32", "--task", "3", "--tasks", "8"]
    assert arguments == [".venv/bin/python", "-m", *expected]


def test_a_worker_takes_the_options_of_the_search(tmp_path: Path) -> None:
    assert said("search.sbatch", tmp_path, "--space", "x.yaml")[-3:] == ["training.search", "--space", "x.yaml"]
