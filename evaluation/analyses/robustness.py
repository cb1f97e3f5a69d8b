"""What happens to the figures when pictures get worse: noise, blur, JPEG, brightness, rotation, rescaling, exposure."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from evaluation.analyses.picture_changes import CHANGES, GradedChange
from evaluation.document import Count, Document, Estimate
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import as_estimate, as_figure, bootstrap_intervals
from evaluation.statistics.metrics import confusion_matrix, metrics_of_confusion
from evaluation.statistics.parity import Predict
from project.progress import progress
from runtime.model.image import ImageArray

BATCH_SIZE = 4  # as in evaluation.attention

ReadPicture = Callable[[str], ImageArray]
Preprocess = Callable[[ImageArray], ImageArray]


class RobustnessPoint(Document):
    """Figures at one level of a change; what `level` measures is said by its curve."""

    level: float
    accuracy: Estimate
    macro_f1: Estimate


class RobustnessCurve(Document):
    """One kind of change at rising levels; `unit` says what a level is.

    `unchanged_level` is the one that changes nothing; its point is among `points`.
    """

    change: str
    unit: str
    unchanged_level: float
    points: tuple[RobustnessPoint, ...]


class Robustness(Document):
    """Figures on `num_images` test images of `num_groups` groups under graded changes.

    If there are more test images than that, images were drawn with `seed`, one of each class in turn, so classes are
    more even than in the test split. The changes are applied to the decoded picture (large ones at reduced scale)
    before it is brought to the model's size. `unchanged` are the figures of the same images as they are.
    """

    num_images: Count
    num_groups: Count
    seed: Count
    unchanged: RobustnessPoint
    curves: tuple[RobustnessCurve, ...]


def draw_images(test: Predictions, max_images: int, seed: int) -> Predictions:
    """Return at most `max_images` images, drawn one of each class in turn; all of them if there are no more."""
    if len(test.labels) <= max_images:
        return test
    order = np.random.default_rng(seed).permutation(len(test.labels))
    turn = np.empty(len(order), dtype=np.int64)
    for label in np.unique(test.labels):
        rows = order[test.labels[order] == label]
        turn[rows] = np.arange(len(rows))
    # Stable: within one turn images keep the order that was drawn.
    chosen = order[np.argsort(turn[order], kind="stable")[:max_images]]
    return test.take(np.sort(chosen))


def measure_robustness(
    sample: Predictions, read: ReadPicture, preprocess: Preprocess, predict: Predict, params: EvaluateParams, seed: int,
    changes: Sequence[GradedChange] = CHANGES,
) -> Robustness:  # fmt: skip
    """Change the pictures of `sample` step by step and ask the model again.

    read: path -> `(height, width, 3)` uint8 picture; four are held at a time. preprocess: picture -> the model's input,
    uint8. predict: batch of inputs -> `(N, C)` probabilities in the order of `sample.classes`.
    """
    steps = [(None, 0.0), *((change, level) for change in changes for level in change.levels)]
    answers = _answers(list(sample.paths), steps, read, preprocess, predict, seed)
    points = [_point(sample, answers[i], level, params) for i, (_, level) in enumerate(steps)]
    unchanged = points[0]
    curves = []
    for change in changes:
        at_levels = [point for point, (of, _) in zip(points, steps, strict=True) if of is change]
        at_levels.append(unchanged.model_copy(update={"level": change.unchanged_level}))
        curves.append(
            RobustnessCurve(
                change=change.name,
                unit=change.unit,
                unchanged_level=change.unchanged_level,
                points=tuple(sorted(at_levels, key=lambda p: p.level)),
            )
        )
    return Robustness(
        num_images=len(sample.labels),
        num_groups=len(set(sample.groups)),
        seed=seed,
        unchanged=unchanged,
        curves=tuple(curves),
    )


def _answers(
    paths: Sequence[str], steps: Sequence[tuple[GradedChange | None, float]], read: ReadPicture, preprocess: Preprocess,
    predict: Predict, seed: int,
) -> npt.NDArray[np.int64]:  # fmt: skip
    """Return `(S, N)` the class answered at each step for each picture.

    Pictures are read a batch at a time and changed one at a time, so that no more than `BATCH_SIZE` are held.
    """
    answers = np.empty((len(steps), len(paths)), dtype=np.int64)
    for start in progress(range(0, len(paths), BATCH_SIZE), "robustness", unit="batch"):
        pictures = [read(path) for path in paths[start : start + BATCH_SIZE]]
        for step, (change, level) in enumerate(steps):
            inputs = [
                preprocess(picture if change is None else change.apply(picture, level, seed + start + i))
                for i, picture in enumerate(pictures)
            ]
            answers[step, start : start + BATCH_SIZE] = predict(np.stack(inputs)).argmax(axis=1)
    return answers


def _point(
    sample: Predictions, answers: npt.NDArray[np.int64], level: float, params: EvaluateParams
) -> RobustnessPoint:
    num_classes = len(sample.classes)
    metrics = metrics_of_confusion(confusion_matrix(sample.labels, answers, num_classes))
    intervals = bootstrap_intervals(sample.labels, answers, sample.groups, num_classes, params).headline

    def estimate(name: str) -> Estimate:
        return as_estimate(as_figure(getattr(metrics, name), intervals[name]))

    return RobustnessPoint(level=level, accuracy=estimate("accuracy"), macro_f1=estimate("macro_f1"))
