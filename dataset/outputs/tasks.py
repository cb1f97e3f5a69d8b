"""Say where a task's chain is described and where its files lie; give commands the option `--task`.

What commands call a task is a role: to classify crops is another than to classify pictures.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # stages that freeze packages or deal pictures out need no contract, and shall not depend on it
    from runtime.model.roles import Role

PIPELINES: "dict[Role, Path]" = {
    "classification": Path("dvc.yaml"),
    "segmentation": Path("segmentation/dvc.yaml"),
    "detection": Path("detection/dvc.yaml"),
    "crop-classification": Path("detection/crops/dvc.yaml"),
}
ARTIFACTS: "dict[Role, Path]" = {
    "classification": Path("artifacts"),
    "segmentation": Path("artifacts/segmentation"),
    "detection": Path("artifacts/detection"),
    "crop-classification": Path("artifacts/detection/crops"),
}
DATA: "dict[Role, Path]" = {  # which pictures it learns from, with their manifest and description
    "classification": Path("data"),
    "segmentation": Path("data"),
    "detection": Path("data"),
    "crop-classification": Path("artifacts/detection/crops/data"),
}


def manifest_of(role: "Role") -> Path:
    """Return the manifest that a role's commands read where none is named."""
    return DATA[role] / "manifest.csv"


def add_task_option(parser: argparse._ActionsContainer, *, of_pictures: bool = False) -> None:
    """Give a command the option `--task`; of_pictures: it has no use for crops."""
    what = "segmentation: outlines, from masks; detection: boxes of objects"
    if not of_pictures:
        what += "; crop-classification: what is in such a box"
    tasks = tuple(role for role in PIPELINES if not of_pictures or role != "crop-classification")
    parser.add_argument("--task", choices=tasks, default="classification", help=what)
