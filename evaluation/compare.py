"""Compare two models on the same test pictures.

    python -m evaluation.compare before/predictions.csv artifacts/predictions.csv

Writes `comparison.json` and `comparison.html` to `--out`. The pictures that changed are shown if `--data` holds them.
Outlines of test pictures are compared, too, where `regions.csv` of `evaluation.evaluate` lies beside both tables or in
`evaluation/` beside them, and boxes where `objects.csv` does.
"""

import argparse
import logging
import sys
from pathlib import Path

from dataset.manifest import Manifest, ManifestError
from evaluation.boxes.object_table import OBJECTS_FILE
from evaluation.boxes.paired import compare_boxes, find_object_table, read_object_table
from evaluation.comparison import Comparison
from evaluation.evaluation import EvaluationError
from evaluation.outlines.paired import compare_outlines, find_region_table, read_region_table
from evaluation.outlines.region_table import REGIONS_FILE
from evaluation.pages.comparison_page import PAGE_FILE, summarise_comparison, write_comparison
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions, PredictionsError
from evaluation.statistics.paired import compare_predictions
from project.command import command
from project.params import ParamsError, add_params_option, read_section

KNOWN_ERRORS = (EvaluationError, ManifestError, ParamsError, PredictionsError)

logger = logging.getLogger(__name__)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", type=Path, help="predictions.csv of the model that is there")
    parser.add_argument("second", type=Path, help="predictions.csv of the model that would replace it")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where manifest.csv and the pictures lie")
    parser.add_argument("--no-pictures", action="store_true", help="compare without the data at hand")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--out", type=Path, default=Path("artifacts/comparison"))
    add_params_option(parser)


def _with_outlines(
    comparison: Comparison, paths: tuple[Path, Path], pictures: Predictions, params: EvaluateParams
) -> Comparison:
    """Add the outlines, where both models' pixels are counted; say so where only one's are."""
    tables = [find_region_table(path) for path in paths]
    if tables[0] and tables[1]:
        first, second = (read_region_table(path, pictures) for path in (tables[0], tables[1]))
        outlines = compare_outlines(first, second, (str(tables[0]), str(tables[1])), params)
        return comparison.model_copy(update={"outlines": outlines})
    return _noting("Outlines", paths, tables, REGIONS_FILE, comparison)


def _with_boxes(
    comparison: Comparison, paths: tuple[Path, Path], pictures: Predictions, params: EvaluateParams
) -> Comparison:
    """Add the boxes, where both models' are kept; say so where only one's are."""
    tables = [find_object_table(path) for path in paths]
    if tables[0] and tables[1]:
        first, second = (read_object_table(path, pictures) for path in (tables[0], tables[1]))
        boxes = compare_boxes(first, second, (str(tables[0]), str(tables[1])), params)
        return comparison.model_copy(update={"boxes": boxes})
    return _noting("Boxes", paths, tables, OBJECTS_FILE, comparison)


def _noting(
    what: str, paths: tuple[Path, Path], tables: list[Path | None], file: str, comparison: Comparison
) -> Comparison:
    """Say of which model nothing is kept, where something is of the other one."""
    if not any(tables):
        return comparison
    note = f"{what} were not compared: beside {paths[tables.index(None)]} lies no {file}."
    return comparison.model_copy(update={"notes": (*comparison.notes, note)})


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> None:
    params = read_section(arguments.params, "evaluate", EvaluateParams)
    first, second = (Predictions.read(path).select(arguments.split) for path in (arguments.first, arguments.second))
    manifest = None if arguments.no_pictures else Manifest.read(arguments.data / "manifest.csv")
    hashes = {} if manifest is None else dict(zip(manifest.table["path"], manifest.table["sha256"], strict=True))
    names = (str(arguments.first), str(arguments.second))
    comparison = compare_predictions(first, second, names, params, hashes)
    if arguments.split == "test":
        paths = (arguments.first, arguments.second)
        comparison = _with_outlines(comparison, paths, first, params)
        comparison = _with_boxes(comparison, paths, first, params)
    write_comparison(comparison, arguments.out, manifest.root if manifest else None)
    logger.info("%s", summarise_comparison(comparison))
    logger.info("comparison: %s", arguments.out / PAGE_FILE)


if __name__ == "__main__":
    sys.exit(main())
