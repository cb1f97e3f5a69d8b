"""What batch scripts hand to srun; a stand-in for it prints its arguments."""

import os
import subprocess
from pathlib import Path

import pytest

from slurm.chain_commands import LINKS
from slurm.claim import SCRATCH_DIR, members_path

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


SBATCH = """#!/bin/sh
echo "$*" >> submitted
wc -l < submitted
"""


def submitted(folder: Path, *options: str, script: str = "chain.sh") -> list[str]:
    """Run a script where jobs are numbered from 1, and return what was handed to sbatch for each."""
    sbatch = folder / "sbatch"
    sbatch.write_text(SBATCH)
    sbatch.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run(["bash", str(SLURM / script), *options], cwd=folder, env=environment, check=True)
    return (folder / "submitted").read_text().splitlines()


def test_all_jobs_of_a_chain_get_its_params_file_and_training_the_rest(tmp_path: Path) -> None:
    train, *links = submitted(tmp_path, "--params=own.yaml", "--nodes=2")
    assert train == "--parsable --nodes=2 slurm/train.sbatch --only-train --params=own.yaml"
    assert [line.split("slurm/link.sbatch ")[1].split()[0] for line in links] == [*LINKS]
    assert all("--params=own.yaml" in line and "--nodes" not in line for line in links)
    assert [f"afterok:{number + 1} " in line for number, line in enumerate(links)] == [True] * len(LINKS)
    assert [line.split()[-1] for line in links] == ["--chain=1"] * len(LINKS)
    assert members_path(tmp_path / SCRATCH_DIR, "1").read_text().split() == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_every_job_of_a_chain_is_told_its_task(task: str, tmp_path: Path) -> None:
    train, *links = submitted(tmp_path, f"--task={task}", "--params=own.yaml", "--nodes=2")
    options = f"--task={task} --params=own.yaml"
    assert train == f"--parsable --nodes=2 slurm/train.sbatch --only-train {options}"
    assert [line.partition("slurm/link.sbatch ")[2] for line in links] == [
        f"{name} {options} --chain=1" for name in LINKS
    ]


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_a_search_and_its_training_are_told_their_task(task: str, tmp_path: Path) -> None:
    workers, best = submitted(tmp_path, f"--task={task}", "3", "--gres=gpu:1", script="search.sh")
    assert workers == f"--parsable --array=0-2 --gres=gpu:1 slurm/search.sbatch --task={task}"
    assert best.endswith(f"slurm/train.sbatch --task={task} --best-of artifacts/{task}/search")


@pytest.mark.parametrize("script", ["chain.sh", "search.sh"])
def test_a_task_that_is_none_is_refused_before_anything_is_submitted(script: str, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        submitted(tmp_path, "--task=detect", "3", script=script)
    assert raised.value.returncode == 2
    assert not (tmp_path / "submitted").exists()
