"""Run a checkpoint over validation and test pictures: `python -m training.predict`.

Writes one CSV row a picture with the probability of every class. Of segmentation (`--task segmentation`) it writes to
`--maps`, too, what the model answers for each pixel, one PNG a row, with the contract beside them. Evaluation reads
nothing else of the model.
"""

import argparse
import logging
import sys
from pathlib import Path

from dataset.manifest import Manifest
from dataset.outputs.pipeline import announce
from dataset.outputs.tasks import ARTIFACTS, add_task_option
from evaluation.predicted_maps import MAPS_DIR
from evaluation.predictions import PREDICTIONS_FILE, PredictionsError
from project.command import UsageError, command
from training.process.memory import keep_freed_memory
from training.run.checkpoint import Checkpoint
from training.run.known_errors import KNOWN_ERRORS
from training.tasks.prediction import predict

logger = logging.getLogger(__name__)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    add_task_option(parser)
    parser.add_argument("--checkpoint", type=Path, help="artifacts/training/checkpoint.pt, or that of the task")
    parser.add_argument("--out", type=Path, help="artifacts/predictions.csv, or that of the task")
    parser.add_argument("--maps", type=Path, help="of segmentation: maps/ beside the predictions")
    parser.add_argument("--protocol", choices=("group", "image"), default="group")


@command(_arguments, known=(*KNOWN_ERRORS, PredictionsError))
def main(arguments: argparse.Namespace) -> None:
    keep_freed_memory()
    artifacts = ARTIFACTS[arguments.task]
    checkpoint_path: Path = arguments.checkpoint or artifacts / "training" / "checkpoint.pt"
    out: Path = arguments.out or artifacts / PREDICTIONS_FILE
    checkpoint = Checkpoint.load(checkpoint_path)
    if checkpoint.contract.task != arguments.task:
        raise UsageError(f"{checkpoint_path} is of {checkpoint.contract.task}: say --task {checkpoint.contract.task}")
    if arguments.maps and arguments.task != "segmentation":
        raise UsageError("--maps is of segmentation: leave it out")
    maps_dir = (arguments.maps or out.parent / MAPS_DIR) if arguments.task == "segmentation" else None
    predictions = predict(Manifest.read(arguments.manifest), arguments.protocol, checkpoint, maps_dir=maps_dir)
    predictions.write(out)
    logger.info("%d predictions in %s%s", len(predictions.labels), out, f", maps in {maps_dir}" if maps_dir else "")


if __name__ == "__main__":
    announce(["training.predict", *sys.argv[1:]], "training.predict")
    sys.exit(main())
