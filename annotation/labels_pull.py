"""Bring back what people said in Label Studio, in the forms that `make data` and others read.

    python -m annotation.labels_pull [--task classification|segmentation|detection] [--port 8080]

Writes `labels/<task>/`: `label-studio.json` as the server wrote it, `folder/` for `make data`, `manifest.csv`,
`left_out.csv` with each task that says nothing and why, and, where several people answered a task, `agreement.json` and
`disagreements.html`. Ends with status 1 where annotators disagree or an answer cannot be used.
"""

import argparse
import json
import logging
import shutil
import sys
from collections import Counter
from pathlib import Path

from annotation.agreement import agreements
from annotation.api import LabelStudioError
from annotation.disagreements import render_sheet
from annotation.pulled import EXPORT, FOLDER, LEFT_OUT, write_class_folders, write_coco_folder, write_tables
from annotation.push import TITLES
from annotation.reaching import add_server_options, reached
from dataset.label_studio.export_file import read_export
from dataset.label_studio.read import Labelled, label_tasks
from dataset.manifest import ManifestError
from dataset.outputs.overlap import check_nothing_foreign
from dataset.outputs.replacing import alone, replace_outputs
from dataset.outputs.tasks import add_task_option
from project.command import command
from project.write_whole import write_whole
from runtime.model.contract import Task

logger = logging.getLogger(__name__)

_STAGING = ".pulling"
_BAD_NEWS = ("conflict", "unusable", "empty")


def pull(content: bytes, home: Path, task: Task) -> Labelled:
    """Write what an export says to `home/<task>`, whole, and return it.

    content: the export. Raises ManifestError for what cannot be used, and for what a person put there.
    """
    if content.strip() == b"[]":
        raise ManifestError(f"the project for {task} has no picture yet: make labels PICTURES=folder")
    output, staging = home / task, home / _STAGING
    with alone(home):
        check_nothing_foreign([output])
        shutil.rmtree(staging, ignore_errors=True)
        try:
            labelled = _stage(content, staging / task, output, task)
            replace_outputs([output], staging, {})
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return labelled


def _stage(content: bytes, folder: Path, output: Path, task: Task) -> Labelled:
    """Write to `folder` what will lie in `output`, where messages say that it lies and pictures are looked for."""
    export = folder / EXPORT
    write_whole(export, content)
    tasks = read_export(export)
    labelled = label_tasks(tasks, output / EXPORT)
    write_tables(folder, labelled)
    write = write_class_folders if task == "classification" else write_coco_folder
    write(folder / FOLDER, labelled.pictures)
    if found := agreements(tasks):
        write_whole(folder / "agreement.json", json.dumps([one.to_json() for one in found], indent=2) + "\n")
        write_whole(folder / "disagreements.html", render_sheet(tasks, labelled.left_out, found, output))
    return labelled


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_server_options(parser)
    add_task_option(parser, of_pictures=True)


@command(_arguments, known=(ManifestError, LabelStudioError), speaker="error")
def main(args: argparse.Namespace) -> int:
    with reached(args.home, args.port, args.environment) as reach:
        project = reach.server.project(TITLES[args.task])
        if project is None:
            raise ManifestError(f"there is no project for {args.task}: run make labels first")
        content = reach.server.export(project["id"])
    labelled = pull(content, args.home, args.task)
    output = args.home / args.task
    logger.info("%d labelled picture(s) in %s: make data DATA=%s", len(labelled.pictures), output, output / EXPORT)
    kinds = Counter(why.kind for why in labelled.left_out.values())
    if kinds:
        counts = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
        logger.warning("%d task(s) are left out (%s): %s", kinds.total(), counts, output / LEFT_OUT)
    return 1 if any(kinds[kind] for kind in _BAD_NEWS) else 0


if __name__ == "__main__":
    sys.exit(main())
