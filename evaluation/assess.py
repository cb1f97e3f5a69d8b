"""Turn predictions into an `Evaluation`: metrics, intervals, slices, confusions and the worst errors."""

import pandas as pd

from dataset.checks import check_no_group_on_two_sides
from dataset.manifest import Manifest, Protocol
from evaluation.analyses.calibration import measure_calibration, remaining_temperature
from evaluation.analyses.fairness import measure_fairness
from evaluation.analyses.leakage import count_test_images_seen_in_training, refuse_other_images
from evaluation.analyses.slice_attributes import slice_attributes
from evaluation.analyses.slices import slice_by_attributes
from evaluation.analyses.threshold import measure_detection, why_no_detection
from evaluation.analyses.weak_slices import search_slices
from evaluation.analyses.worst_errors import most_confident_errors
from evaluation.evaluation import ClassResult, Confusion, Evaluation, SliceResult
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import Intervals, Resampling, as_estimate, as_figure, bootstrap_intervals
from evaluation.statistics.metrics import HEADLINE, PER_CLASS, Metrics, confusion_matrix, metrics_of_confusion
from evaluation.statistics.ranking import ranking_figures

MAX_WRONG = 24  # thumbnails that fit a page of the report


def assess(
    predictions: Predictions,
    manifest: Manifest,
    protocol: Protocol,
    params: EvaluateParams,
    normal_class: str = "",
    statistics: pd.DataFrame | None = None,
) -> Evaluation:
    """Evaluate the test images of one protocol.

    normal_class: the class that is no defect, or ''. statistics: of the manifest's pictures (`read_statistics`), by
    which weak slices are searched; None searches by the manifest's attributes alone.
    Raises ManifestError if the headline ('group') leaks, PredictionsError if predictions are not of the test images.
    """
    if protocol == "group":
        check_no_group_on_two_sides(manifest.table)
    refuse_other_images(predictions, manifest, protocol)
    test = predictions.select("test")
    val = predictions.select("val") if (predictions.splits == "val").any() else None
    no_detection = why_no_detection(test, val, normal_class)
    resampling = Resampling(test.groups, params)
    num_classes = len(test.classes)
    confusion = confusion_matrix(test.labels, test.predicted, num_classes)
    metrics = metrics_of_confusion(confusion)
    intervals = bootstrap_intervals(test.labels, test.predicted, test.groups, num_classes, params)
    num_seen = count_test_images_seen_in_training(manifest, protocol)
    slices, num_smaller = _slices(test, params)
    return Evaluation(
        protocol=protocol,
        leaking=num_seen > 0,
        num_seen_in_training=num_seen,
        classes=test.classes,
        num_images=len(test.labels),
        num_groups=len(set(test.groups)),
        majority_class=test.classes[int(metrics.support.argmax())],
        majority_share=int(metrics.support.max()) / len(test.labels),
        **{name: as_estimate(as_figure(getattr(metrics, name), intervals.headline[name])) for name in HEADLINE},
        mcc=as_figure(metrics.mcc, intervals.headline["mcc"]),
        per_class=_per_class(test, metrics, intervals, resampling),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        confusions=_confusions(test),
        slices=slices,
        min_slice_images=params.min_slice_images,
        num_smaller_slices=num_smaller,
        num_wrong=int((test.predicted != test.labels).sum()),
        wrong=most_confident_errors(test, MAX_WRONG),
        calibration=measure_calibration(test, resampling, remaining_temperature(predictions)),
        detection=measure_detection(test, val, normal_class, resampling, params) if val and not no_detection else None,
        no_detection=no_detection,
        fairness=measure_fairness(test, normal_class, resampling, params),
        slice_search=search_slices(test, slice_attributes(test, statistics), resampling, params),
        confidence=params.confidence,
        bootstrap_samples=params.bootstrap_samples,
        num_resamples_missing_a_class=intervals.num_resamples_missing_a_class,
        seed=params.seed,
        data_sha256=manifest.sha256,
    )


def _per_class(
    test: Predictions, metrics: Metrics, intervals: Intervals, resampling: Resampling
) -> tuple[ClassResult, ...]:
    predicted = test.predicted
    return tuple(
        ClassResult(
            name=name,
            num_images=int(metrics.support[index]),
            num_groups=len(set(test.groups[test.labels == index])),
            num_predicted=int((predicted == index).sum()),
            average_precision=ranking_figures(test.probs[:, index], test.labels == index, resampling).average_precision,
            **{
                figure: as_estimate(as_figure(getattr(metrics, figure)[index], intervals.per_class[figure][:, index]))
                for figure in PER_CLASS
            },
        )
        for index, name in enumerate(test.classes)
    )


def _confusions(test: Predictions) -> tuple[Confusion, ...]:
    """Return every kind of error that happened, the most frequent first."""
    predicted = test.predicted
    pairs = sorted({(int(a), int(p)) for a, p in zip(test.labels, predicted, strict=True) if a != p})
    found = []
    for actual, guessed in pairs:
        rows = (test.labels == actual) & (predicted == guessed)
        found.append(
            Confusion(
                actual=test.classes[actual],
                predicted=test.classes[guessed],
                num_images=int(rows.sum()),
                num_groups=len(set(test.groups[rows])),
            )
        )
    return tuple(sorted(found, key=lambda c: -c.num_images))


def _slices(test: Predictions, params: EvaluateParams) -> tuple[tuple[SliceResult, ...], int]:
    slices, num_smaller = slice_by_attributes(test, params.min_slice_images)
    results = []
    for part in slices:
        rows = part.rows
        intervals = bootstrap_intervals(
            test.labels[rows], test.predicted[rows], test.groups[rows], len(test.classes), params
        )
        results.append(
            SliceResult(
                attribute=part.attribute,
                value=part.value,
                num_images=rows.size,
                num_groups=len(set(test.groups[rows])),
                accuracy=as_estimate(as_figure(part.accuracy, intervals.headline["accuracy"])),
                macro_f1=as_estimate(as_figure(part.macro_f1, intervals.headline["macro_f1"])),
            )
        )
    return tuple(results), num_smaller
