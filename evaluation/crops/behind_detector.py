"""Measure a classifier of crops where it works, behind a detector: `python -m evaluation.crops.behind_detector`.

The boxes that the detector answers on the test pictures are cut out and classified as the service does it. Writes
`behind.json` to `--out`: how many of the objects that are found get the right name, with intervals over groups, beside
the names that the detector itself gives. `evaluation.card` shows it.
"""

import argparse
import logging
import sys
from pathlib import Path

from dataset.manifest import Manifest, ManifestError
from evaluation.crops.document import BEHIND_FILE
from evaluation.crops.measure import measure_behind
from evaluation.document import Estimate, EvaluationError
from evaluation.params import EvaluateParams
from evaluation.predicted_boxes import BoxTable
from evaluation.predictions import Predictions, PredictionsError
from project.command import command
from project.params import ParamsError, add_params_option, read_section
from runtime.model.contract import ContractError
from runtime.model.session import Predictor

logger = logging.getLogger(__name__)


def _arguments(parser: argparse.ArgumentParser) -> None:
    detection = Path("artifacts/detection")
    parser.add_argument("--model", type=Path, default=detection / "crops/export", help="of the classifier of crops")
    parser.add_argument("--boxes", type=Path, default=detection / "boxes", help="that the detector found")
    parser.add_argument("--predictions", type=Path, default=detection / "predictions.csv", help="the detector's")
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"), help="of the pictures")
    parser.add_argument("--out", type=Path, default=detection / "crops/behind")
    add_params_option(parser)


@command(_arguments, known=(ContractError, EvaluationError, ManifestError, ParamsError, PredictionsError))
def main(arguments: argparse.Namespace) -> None:
    params = read_section(arguments.params, "evaluate", EvaluateParams)
    table, predictions = BoxTable.read(arguments.boxes), Predictions.read(arguments.predictions)
    predictor = Predictor.load(arguments.model, device="cpu")
    document = measure_behind(table, Manifest.read(arguments.manifest), predictions, predictor, params)
    arguments.out.mkdir(parents=True, exist_ok=True)
    document.write(arguments.out / BEHIND_FILE)
    whole = document.any_object
    logger.info("%d of %d test objects are found", whole.num_found, whole.num_objects)
    logger.info("of these, the classifier names right: %s", _in_words(whole.right_of_found))
    if whole.detector_right_of_found:
        logger.info("of these, the detector names right: %s", _in_words(whole.detector_right_of_found))


def _in_words(share: Estimate) -> str:
    figures = (share.value, share.low, share.high)
    value, low, high = ("undefined" if one is None else f"{one:.3f}" for one in figures)
    return f"{value} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
