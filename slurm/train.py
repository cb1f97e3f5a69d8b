"""Train over all nodes of a job, then evaluate, export and register: the batch step of `slurm/train.sbatch`.

The nodes are looked at first (`slurm.nodes`). The MLflow run gets the job's name and number.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from slurm.allocation import Allocation, SlurmError
from slurm.doctor import meeting_point
from slurm.job import run_on_all_nodes
from slurm.links import run_links
from slurm.nodes import look_at_nodes

AFTER_TRAINING = ("evaluate", "export", "register")
logger = logging.getLogger(__name__)


def train(allocation: Allocation, artifacts: Path, data: Path, params: Path, port: int, num_workers: int) -> int:
    """Train and return the status; 2 if the nodes cannot train together."""
    scratch_dir = artifacts / "slurm"
    report = look_at_nodes(allocation, data / "manifest.csv", scratch_dir, port)
    for warning in report.warnings:
        logger.warning("warning: %s", warning)
    for problem in report.problems:
        logger.error("PROBLEM: %s", problem)
    if report.problems:
        return 2
    # MLflow's own way to name a run from outside: tags that every run of this process and its children gets.
    tags = {"mlflow.runName": f"{allocation.job_name}-{allocation.job_id}", "slurm.job_id": allocation.job_id}
    os.environ["MLFLOW_RUN_CONTEXT"] = json.dumps(tags)
    module = ["training.train", "--manifest", str(data / "manifest.csv"), "--params", str(params)]
    module += ["--out", str(artifacts / "training"), "--workers", str(num_workers)]
    return run_on_all_nodes(allocation, meeting_point(allocation, report, port), scratch_dir, module)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--workers", type=int, default=0, help="processes that decode, for each training process")
    parser.add_argument("--port", type=int, default=0, help="where processes meet; 0 takes a free one")
    parser.add_argument("--only-train", action="store_true", help="leave the rest to slurm/chain.sh")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    artifacts, data, params = arguments.artifacts, arguments.data, arguments.params
    try:
        allocation = Allocation.current()
        status = train(allocation, artifacts, data, params, arguments.port, arguments.workers)
    except (SlurmError, OSError) as exc:
        sys.stderr.write(f"train: {exc}\n")
        return 2
    if status or arguments.only_train:
        return status
    return run_links(AFTER_TRAINING, artifacts, data, params)


if __name__ == "__main__":
    sys.exit(main())
