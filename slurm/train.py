"""Train over all nodes of a job, then evaluate, export and register: the batch step of `slurm/train.sbatch`.

The nodes are looked at first (`slurm.nodes`). The MLflow run gets the job's name and number. A job that is requeued
after training goes on with the rest.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset.outputs.tasks import add_task_option
from project.command import command
from project.params import ParamsError, add_params_option
from slurm.allocation import Allocation
from slurm.attempts import Attempts
from slurm.chain_commands import check_params, run_links
from slurm.claim import SCRATCH_DIR, claimed
from slurm.job import batch_step, run_on_all_nodes
from slurm.nodes import look_at_nodes, meeting_point
from slurm.warning import Warnings

MANIFEST = Path("data/manifest.csv")
AFTER_TRAINING = ("evaluate", "export", "register")
logger = logging.getLogger(__name__)


def train(allocation: Allocation, warnings: Warnings, attempts: Attempts, module: Sequence[str], port: int = 0) -> int:
    """Look at the nodes, run a module on them, and return the status; 2 if they cannot train together.

    Raises Warned if the job was warned, SlurmError if Slurm refuses something.
    """

    def output_of(command: Sequence[str]) -> str:
        output: str = warnings.run(command, stdout=subprocess.PIPE).stdout
        warnings.check()  # before anybody wonders why nodes do not answer
        return output

    report = look_at_nodes(allocation, MANIFEST, SCRATCH_DIR, port, output_of)
    for warning in report.warnings:
        logger.warning("warning: %s", warning)
    for problem in report.problems:
        logger.error("PROBLEM: %s", problem)
    if report.problems:
        return 2
    # MLflow's own way to name a run from outside: tags that every run of this process and its children gets.
    tags = {"mlflow.runName": f"{allocation.job_name}-{allocation.job_id}", "slurm.job_id": allocation.job_id}
    os.environ["MLFLOW_RUN_CONTEXT"] = json.dumps(tags)
    return run_on_all_nodes(allocation, warnings, attempts, meeting_point(allocation, report, port), module)


def _params_file(arguments: argparse.Namespace, warnings: Warnings, is_trained: bool) -> Path:
    """Return what to train with, and have a search's best trial written first; one that was trained with stays.

    Raises ParamsError if the search has no best trial.
    """
    search_dir: Path | None = arguments.best_of
    if search_dir is None:
        return Path(arguments.params)
    path = search_dir / "params.best.yaml"
    command = [".venv/bin/python", "-m", "training.search", "--out", str(search_dir), "--write-best", str(path)]
    if not is_trained and warnings.run(command).returncode:
        raise ParamsError(f"{search_dir} has no best trial to train with (message above)")
    return path


def _work(arguments: argparse.Namespace, allocation: Allocation, warnings: Warnings) -> int:
    attempts = Attempts(SCRATCH_DIR, allocation)
    is_trained = attempts.is_done()
    params = _params_file(arguments, warnings, is_trained)
    if not arguments.only_train:
        check_params(params)
    if is_trained:
        logger.info("this job has trained before it was requeued; remove %s to have it train again", attempts.path)
    else:
        options = ["--task", arguments.task, "--params", str(params), "--workers", str(arguments.workers)]
        options += ["--save-every-steps", str(arguments.save_every_steps)]
        status = train(allocation, warnings, attempts, ["training.train", *options], arguments.port)
        if status:
            return status
    if arguments.only_train:
        return 0

    def status_of(command: Sequence[str]) -> int:
        status = warnings.run(command).returncode
        warnings.check()
        return status

    return run_links(AFTER_TRAINING, params, arguments.task, status_of)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_task_option(parser)
    which = parser.add_mutually_exclusive_group()
    add_params_option(which, "for training and all that follows")
    which.add_argument("--best-of", type=Path, metavar="DIR", help="params.yaml with the best values of a search")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode, for each training process")
    parser.add_argument("--save-every-steps", type=int, default=0, help="what a dead node costs at most; 0: an epoch")
    parser.add_argument("--port", type=int, default=0, help="where processes meet; 0 takes a free one")
    parser.add_argument("--only-train", action="store_true", help="leave the rest to slurm/chain.sh")


@command(_arguments, logs_to="stdout")
def main(arguments: argparse.Namespace) -> int:
    def work(allocation: Allocation, warnings: Warnings) -> int:
        with claimed(allocation.job_id):
            return _work(arguments, allocation, warnings)

    return batch_step(work)


if __name__ == "__main__":
    sys.exit(main())
