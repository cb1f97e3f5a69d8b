"""Run a checkpoint over validation and test pictures: `python -m training.predict`.

Writes one CSV row a picture with the probability of every class. Of segmentation (`--task segmentation`) it writes to
`--maps`, too, what the model answers for each pixel, one PNG a row, and of detection (`--task detection`) to `--boxes`
what it finds, one CSV row a box, with the contract beside them. Evaluation reads nothing else of the model.
"""

import argparse
import logging
import sys
from pathlib import Path

from dataset.manifest import Manifest
from dataset.outputs.pipeline import announce
from dataset.outputs.tasks import ARTIFACTS, add_task_option, manifest_of
from evaluation.predictions import PREDICTIONS_FILE, PredictionsError
from project.command import UsageError, command
from runtime.model.roles import role_of
from training.process.memory import keep_freed_memory
from training.run.checkpoint import Checkpoint
from training.run.known_errors import KNOWN_ERRORS
from training.tasks.prediction import FOUND_DIRS, predict

logger = logging.getLogger(__name__)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, help="data/manifest.csv, or that of the task")
    add_task_option(parser)
    parser.add_argument("--checkpoint", type=Path, help="artifacts/training/checkpoint.pt, or that of the task")
    parser.add_argument("--out", type=Path, help="artifacts/predictions.csv, or that of the task")
    parser.add_argument("--maps", type=Path, help="of segmentation: maps/ beside the predictions")
    parser.add_argument("--boxes", type=Path, help="of detection: boxes/ beside the predictions")
    parser.add_argument("--protocol", choices=("group", "image"), default="group")


@command(_arguments, known=(*KNOWN_ERRORS, PredictionsError))
def main(arguments: argparse.Namespace) -> None:
    keep_freed_memory()
    artifacts = ARTIFACTS[arguments.task]
    checkpoint_path: Path = arguments.checkpoint or artifacts / "training" / "checkpoint.pt"
    out: Path = arguments.out or artifacts / PREDICTIONS_FILE
    checkpoint = Checkpoint.load(checkpoint_path)
    if (role := role_of(checkpoint.contract)) != arguments.task:
        raise UsageError(f"{checkpoint_path} is of {role}: say --task {role}")
    for option, task in (("maps", "segmentation"), ("boxes", "detection")):
        if getattr(arguments, option) and arguments.task != task:
            raise UsageError(f"--{option} is of {task}: leave it out")
    stated: Path | None = arguments.maps or arguments.boxes
    name = FOUND_DIRS.get(arguments.task)
    found_dir = (stated or out.parent / name) if name else None
    manifest = Manifest.read(arguments.manifest or manifest_of(arguments.task))
    predictions = predict(manifest, arguments.protocol, checkpoint, found_dir=found_dir)
    predictions.write(out)
    logger.info("%d predictions in %s%s", len(predictions.labels), out, f", {name} in {found_dir}" if name else "")


if __name__ == "__main__":
    announce(["training.predict", *sys.argv[1:]], "training.predict")
    sys.exit(main())
