"""Plan a scoring run: freeze which pictures are scored by which model: `python -m scoring.shard SOURCE RUN_DIR`.

SOURCE is a folder, a text file with one path a line, or a CSV with a column `path`, such as data/manifest.csv. With
`--task segmentation` results have the outlines, too, and with `--task detection` the boxes.
"""

import argparse
import sys
from pathlib import Path

from dataset.outputs.tasks import add_task_option
from project.command import UsageError, command
from runtime.model.contract import CONTRACT_FILE, ContractError, read_contract
from runtime.model.roles import ROLE_NAMES
from runtime.serving.model_reference import ModelUnavailable
from scoring.model_folder import model_folder
from scoring.pictures import ScoringError
from scoring.plan import task_of, write_plan

PICTURES_PER_SHARD = 10_000  # minutes of work on one core: what a killed task loses at most


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path)
    parser.add_argument("run_dir", type=Path)
    add_task_option(parser, of_pictures=True)
    parser.add_argument("--model", help="tag in the model store, or a folder with model.onnx; the task's newest")
    parser.add_argument("--pictures-per-shard", type=int, default=PICTURES_PER_SHARD)


@command(_arguments, known=(ScoringError, ContractError, ModelUnavailable, OSError))
def main(arguments: argparse.Namespace) -> None:
    if arguments.pictures_per_shard < 1:
        raise UsageError("a shard holds at least one picture")
    model, model_dir = model_folder(arguments.model or f"{ROLE_NAMES[arguments.task]}:latest")
    if (found := task_of(model, read_contract(model_dir / CONTRACT_FILE))) != arguments.task:
        raise ScoringError(f"the model {model} is of {found}: say --task {found}, or name another with --model")
    plan = write_plan(arguments.source, arguments.run_dir, model, model_dir, arguments.pictures_per_shard)
    sys.stdout.write(f"{plan.num_pictures} pictures in {len(plan.shards)} shards, to be scored by {plan.model}\n")


if __name__ == "__main__":
    sys.exit(main())
