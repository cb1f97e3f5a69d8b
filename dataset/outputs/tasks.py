"""Say where a task's chain is described and where its files lie; give commands the option `--task`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # stages that freeze packages or deal pictures out need no contract, and shall not depend on it
    from runtime.model.contract import Task

PIPELINES: "dict[Task, Path]" = {
    "classification": Path("dvc.yaml"),
    "segmentation": Path("segmentation/dvc.yaml"),
    "detection": Path("detection/dvc.yaml"),
}
ARTIFACTS: "dict[Task, Path]" = {
    "classification": Path("artifacts"),
    "segmentation": Path("artifacts/segmentation"),
    "detection": Path("artifacts/detection"),
}


def add_task_option(parser: argparse._ActionsContainer) -> None:
    """Give a command the option `--task`."""
    what = "segmentation: outlines, from masks; detection: boxes of objects"
    parser.add_argument("--task", choices=tuple(PIPELINES), default="classification", help=what)
