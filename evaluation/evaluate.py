"""Measure a model's predictions on the test images and write the report: `python -m evaluation.evaluate`.

Writes to `--out`: `evaluation.json` (everything), `metrics.json` (what `dvc metrics` compares), `confusion.csv`,
`reliability.csv` and `threshold.csv` (what `dvc plots` draws), `confusion.png`, `per_class_f1.png`, `report.html`,
`labels/` (what a person should look at again: `to_review.csv` and `label_studio.xml` for Label Studio, `to_review.png`
to look at), `by_image.json` if the leaking split was measured as well, and `out_of_fold.json` if all folds were. With
`--maps`, of a segmentation model: `regions.csv` (pixels of each region in each test picture) and `worst/` (drawings of
the pictures that were outlined worst). With `--boxes`, of a detection model: `objects.csv` (what is in each test
picture and what was found) and `worst/`.
"""

import argparse
import csv
import json
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from dataset.description import read_description
from dataset.manifest import Manifest, ManifestError
from dataset.params import DataParams
from dataset.splitting.versions import Versions
from evaluation.analyses.alike_counts import COUNTS_FILE, read_counts
from evaluation.analyses.image_statistics import STATISTICS_FILE, read_statistics
from evaluation.analyses.label_review import NEAR_DUPLICATES_FILE, LabelReview, read_near_duplicates, review_labels
from evaluation.analyses.review_queue import write_queue
from evaluation.asked_model import read_asked_model
from evaluation.assess import assess
from evaluation.boxes.measure import MeasuredBoxes, measure_boxes
from evaluation.boxes.object_table import OBJECTS_FILE
from evaluation.boxes.over_folds import read_folds as read_folds_of_boxes
from evaluation.evaluation import BY_IMAGE_FILE, EVALUATION_FILE, Evaluation, EvaluationError
from evaluation.out_of_fold import OUT_OF_FOLD_FILE, assess_out_of_fold
from evaluation.outlines.map_folder import MapFolder
from evaluation.outlines.measure import WORST_DIR, MeasuredOutlines, measure_outlines
from evaluation.outlines.over_folds import read_folds
from evaluation.outlines.region_table import REGIONS_FILE
from evaluation.pages.box_sections import box_tiles
from evaluation.pages.outline_sections import outline_tiles
from evaluation.pages.plots import HeadlinePlots, to_png
from evaluation.pages.report import render_report
from evaluation.pages.wording import HEADLINE_NAMES, estimate_in_words
from evaluation.params import EvaluateParams
from evaluation.predicted_boxes import BoxTable
from evaluation.predictions import NOT_COMPARED_FILE, PREDICTIONS_FILE, Predictions, PredictionsError
from evaluation.statistics.metrics import HEADLINE
from project.command import UsageError, command
from project.params import ParamsError, add_params_option, read_section
from project.write_whole import write_whole
from runtime.model.contract import Task

METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
LABELS_DIR = "labels"
_DRAWING = re.compile(r"(miss|false_alarm)_\d+\.png")
KNOWN_ERRORS = (EvaluationError, ManifestError, ParamsError, PredictionsError)

Located = MeasuredOutlines | MeasuredBoxes

logger = logging.getLogger(__name__)


def evaluate(
    predictions_path: Path,
    by_image_dir: Path | None,
    data_dir: Path,
    inspection_dir: Path,
    out_dir: Path,
    params: EvaluateParams,
    data_params: DataParams,
    out_of_fold_path: Path | None = None,
    maps_dir: Path | None = None,
    boxes_dir: Path | None = None,
) -> Evaluation:
    """Evaluate, write all files to `out_dir` and return the headline's evaluation.

    by_image_dir: of the leaking split, None where it is no question. inspection_dir: what `evaluation.inspect` wrote of
    the same manifest. out_of_fold_path: pooled predictions of all folds (`training.cross_validate`), if there are any.
    maps_dir, boxes_dir: predicted maps or boxes of the same rows, for a model of segmentation or detection; those of
    all folds then lie beside their table.

    Raises ManifestError if the description, a mask or a box cannot be read or the split by group leaks,
    PredictionsError if predictions, maps or boxes are not usable or not of this manifest, EvaluationError if
    `by_image_dir` or a picture that the report shows is missing.
    """
    manifest, description = Manifest.read(data_dir / "manifest.csv"), read_description(data_dir)
    statistics = read_statistics(inspection_dir / STATISTICS_FILE, manifest)
    test_predictions = Predictions.read(predictions_path)
    headline = assess(test_predictions, manifest, "group", params, description.normal_class, statistics)
    labels = _review_labels(test_predictions, manifest, statistics, inspection_dir, data_params)
    measured = _locate(maps_dir, boxes_dir, manifest, test_predictions, params)
    task: Task = "segmentation" if maps_dir else "detection" if boxes_dir else "classification"
    data_sha256 = manifest.data_sha256(task)
    data = {"data_sha256": data_sha256, "data_version": Versions.read(data_dir).describe(data_sha256)}
    known = {"label_review": labels, "asked_model": read_asked_model(predictions_path), **data}
    headline = headline.model_copy(update={**known, **_stated(measured)})
    by_image, not_compared = _by_image(by_image_dir, manifest, params, description.normal_class, statistics)
    by_image = by_image and by_image.model_copy(update=data)
    out_of_fold = None
    if out_of_fold_path:
        pooled = Predictions.read(out_of_fold_path)
        out_of_fold = assess_out_of_fold(pooled, manifest, params, description.normal_class, statistics)
        over_folds = _locate_over_folds(out_of_fold_path, pooled, manifest, task, params)
        out_of_fold = out_of_fold.model_copy(update={**data, **_stated(over_folds)})
    plots = HeadlinePlots.of(headline)
    drawn = plots.for_png(headline)
    pngs = {"confusion.png": to_png(drawn.confusion), "per_class_f1.png": to_png(drawn.per_class_f1)}
    report = render_report(
        headline, by_image, description, manifest, not_compared, out_of_fold=out_of_fold, headline_plots=plots,
        drawings=measured.drawings if measured else None,
    )  # fmt: skip
    out_dir.mkdir(parents=True, exist_ok=True)
    write_queue(labels, manifest, out_dir / LABELS_DIR)
    _write_documents(headline, by_image, out_of_fold, out_dir)
    _write_confusion(test_predictions.select("test"), out_dir / "confusion.csv")
    for name, png in pngs.items():
        write_whole(out_dir / name, png)
    _write_curves(headline, out_dir)
    _write_located(measured, out_dir)
    write_whole(out_dir / REPORT_FILE, report)
    return headline


def _write_documents(
    headline: Evaluation, by_image: Evaluation | None, out_of_fold: Evaluation | None, out_dir: Path
) -> None:
    headline.write(out_dir / EVALUATION_FILE)
    for name, further in ((BY_IMAGE_FILE, by_image), (OUT_OF_FOLD_FILE, out_of_fold)):
        # One left by an earlier run would stand in the model card as if it had been measured now.
        (out_dir / name).unlink(missing_ok=True)
        if further:
            further.write(out_dir / name)
    metrics = json.dumps(summarise(headline, by_image), indent=2, ensure_ascii=False)
    write_whole(out_dir / METRICS_FILE, metrics + "\n")


def summarise(headline: Evaluation, by_image: Evaluation | None) -> dict[str, dict[str, object]]:
    """Return the figures that `dvc metrics diff` compares; null where undefined."""
    summary = {"test": _figures(headline)}
    if by_image:
        summary["by_image"] = {"leaking": by_image.leaking, **_figures(by_image)}
    return summary


def _figures(evaluation: Evaluation) -> dict[str, object]:
    figures: dict[str, object] = {}
    for name in HEADLINE:
        estimate = getattr(evaluation, name)
        figures |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return (
        figures
        | (evaluation.outlines.summary() if evaluation.outlines else {})
        | (evaluation.boxes.summary() if evaluation.boxes else {})
        | {"f1": {result.name: result.f1.value for result in evaluation.per_class}}
    )


def _review_labels(
    predictions: Predictions, manifest: Manifest, statistics: pd.DataFrame, inspection_dir: Path, params: DataParams
) -> LabelReview:
    """Look for wrong labels, with what `evaluation.inspect` found of the same manifest."""
    near_duplicates = read_near_duplicates(inspection_dir / NEAR_DUPLICATES_FILE, manifest)
    counts = read_counts(inspection_dir / COUNTS_FILE)
    num_across_splits = counts.num_across_splits if counts else None
    return review_labels(
        predictions, manifest, statistics, near_duplicates, params.near_duplicate_correlation, num_across_splits
    )


def _locate(
    maps_dir: Path | None, boxes_dir: Path | None, manifest: Manifest, predictions: Predictions, params: EvaluateParams
) -> Located | None:
    """Measure where the model finds what, from its maps or its boxes; None for a model that only names a class."""
    if maps_dir:
        return measure_outlines(MapFolder.open(maps_dir, predictions), manifest, predictions, params)
    return measure_boxes(BoxTable.read(boxes_dir), manifest, predictions, params) if boxes_dir else None


def _locate_over_folds(
    pooled_path: Path, pooled: Predictions, manifest: Manifest, task: Task, params: EvaluateParams
) -> Located | None:
    """Measure the same over all folds, whose maps or boxes lie beside their pooled table."""
    if task == "segmentation":
        return read_folds(pooled_path, pooled, manifest).measure(params)
    if task == "detection":
        return read_folds_of_boxes(pooled_path, pooled, manifest).measure(params)
    return None


def _stated(measured: Located | None) -> dict[str, object]:
    return measured.stated if measured else {}


def _write_located(measured: Located | None, out_dir: Path) -> None:
    """Write the table and the drawings, and remove those of an earlier run; other files in `worst/` stay."""
    for table in (REGIONS_FILE, OBJECTS_FILE):
        (out_dir / table).unlink(missing_ok=True)
    for path in (out_dir / WORST_DIR).glob("*.png"):
        if _DRAWING.fullmatch(path.name):
            path.unlink()
    if measured:
        measured.table.write(out_dir / measured.file)
        for file, png in measured.drawings.items():
            write_whole(out_dir / file, png)


def _by_image(
    by_image_dir: Path | None, manifest: Manifest, params: EvaluateParams, normal_class: str, statistics: pd.DataFrame
) -> tuple[Evaluation | None, str]:
    if by_image_dir is None:
        return None, ""
    predictions_path, note_path = by_image_dir / PREDICTIONS_FILE, by_image_dir / NOT_COMPARED_FILE
    if predictions_path.exists():
        return assess(Predictions.read(predictions_path), manifest, "image", params, normal_class, statistics), ""
    if note_path.exists():
        return None, note_path.read_text(encoding="utf-8")
    raise EvaluationError(
        f"{by_image_dir} holds neither {PREDICTIONS_FILE} nor {NOT_COMPARED_FILE}; run python -m training.leaking_split"
    )


def _write_confusion(test: Predictions, path: Path) -> None:
    """Write one row an image, the form that DVC's `confusion` plot template counts."""
    pairs = zip(test.labels, test.predicted, strict=True)
    _write_table(path, ("actual", "predicted"), ((test.classes[a], test.classes[p]) for a, p in pairs))


def _write_curves(headline: Evaluation, out_dir: Path) -> None:
    """Write the points of reliability and cost, which DVC's plots draw."""
    rows = [
        (part.confidence, part.accuracy.value, part.num_images)
        for part in (headline.calibration.bins if headline.calibration else ())
    ]
    _write_table(out_dir / "reliability.csv", ("confidence", "accuracy", "images"), rows)
    points = headline.detection.curve if headline.detection else ()
    costs = [(point.threshold, point.miss_rate, point.false_alarm_rate, point.cost) for point in points]
    _write_table(out_dir / "threshold.csv", ("threshold", "miss_rate", "false_alarm_rate", "cost"), costs)


def _write_table(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--predictions", type=Path, default=Path("artifacts/predictions.csv"))
    parser.add_argument("--maps", type=Path, help="predicted maps of a segmentation model, from training.predict")
    parser.add_argument("--boxes", type=Path, help="predicted boxes of a detection model, from training.predict")
    parser.add_argument("--by-image", type=Path, help="of the leaking split; artifacts/by_image, or none")
    parser.add_argument("--out-of-fold", type=Path, help="predictions of all folds, from training.cross_validate")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--inspection", type=Path, default=Path("artifacts/inspection"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/evaluation"))
    add_params_option(parser)


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> None:
    params = read_section(arguments.params, "evaluate", EvaluateParams)
    if arguments.maps and arguments.boxes:
        raise UsageError("--maps is of segmentation and --boxes of detection: a model has one of both")
    is_of_crops = read_description(arguments.data).crop_margin is not None
    has_none = arguments.maps or arguments.boxes or is_of_crops
    by_image = arguments.by_image or (None if has_none else Path("artifacts/by_image"))
    headline = evaluate(
        arguments.predictions, by_image, arguments.data, arguments.inspection, arguments.out, params,
        read_section(arguments.params, "data", DataParams), arguments.out_of_fold, arguments.maps, arguments.boxes,
    )  # fmt: skip
    named = [(title, getattr(headline, name)) for name, title in HEADLINE_NAMES.items()]
    if headline.outlines:
        named += outline_tiles(headline.outlines)
    if headline.boxes:
        named += box_tiles(headline.boxes)
    for title, estimate in named:
        logger.info("%s on %d test images: %s", title, headline.num_images, estimate_in_words(estimate))
    for what, why_not in (("outlines", headline.no_outlines), ("boxes", headline.no_boxes)):
        if why_not:
            logger.info("%s: %s", what, why_not)
    logger.info("report: %s", arguments.out / REPORT_FILE)


if __name__ == "__main__":
    sys.exit(main())
