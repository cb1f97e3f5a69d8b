"""Compare the boxes of two models on the same pictures, from what `objects.csv` holds of each.

Both models are measured on the same resampled groups, as in `evaluation.statistics.paired`.
"""

from pathlib import Path

import numpy as np

from dataset.checks import named
from evaluation.boxes.average_precision import mean_where_defined
from evaluation.boxes.figures import NAMES, coco_of_resamples
from evaluation.boxes.object_table import OBJECTS_FILE, ObjectTable
from evaluation.boxes.picture_boxes import match_all
from evaluation.comparison import BoxDifference, Difference
from evaluation.document import EvaluationError
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import FloatArray, Resampling, as_figure

_PLACES = ("evaluation", ".")  # of the table, seen from the predictions
_AGAIN = "evaluate both on the data as they are now"
_TOLERANCE_PX = 0.01  # tables hold three decimals


def find_object_table(predictions_path: Path) -> Path | None:
    """Return where the boxes of these predictions are kept: in `evaluation/` beside them, or beside them."""
    found = (predictions_path.parent / place / OBJECTS_FILE for place in _PLACES)
    return next((path for path in found if path.is_file()), None)


def read_object_table(path: Path, pictures: Predictions) -> ObjectTable:
    """Read a table in the order of `pictures`. Raises EvaluationError if it is malformed or of other pictures."""
    table = ObjectTable.read(path)
    if set(table.paths) != set(pictures.paths) or len(table.paths) != len(pictures.paths):
        raise EvaluationError(
            f"{path} is not of the pictures that are compared: it holds {len(table.paths)}, and "
            f"{len(set(pictures.paths) - set(table.paths))} of {len(pictures.paths)} are not among them; run python -m "
            "evaluation.evaluate with --boxes"
        )
    return table.at(list(pictures.paths))


def compare_boxes(
    first: ObjectTable, second: ObjectTable, names: tuple[str, str], params: EvaluateParams
) -> tuple[BoxDifference, ...]:
    """Return the differences of the mean over objects, then of each object; second minus first.

    first, second: of the same pictures in the same order; names: of their files. Raises EvaluationError if the models
    know other objects, or were measured against other true boxes.
    """
    if set(first.objects) != set(second.objects):
        raise EvaluationError(
            f"{names[0]} knows the objects {', '.join(first.objects)}, {names[1]} {', '.join(second.objects)}: boxes "
            "of other objects cannot be compared"
        )
    first, second = first.known(), second.in_order_of(first.objects).known()
    refuse_other_truth(first, second, names)
    resampling = Resampling(first.groups, params)
    objects = range(len(first.objects))
    rankings = [[match_all(table.pictures, number).ranking() for number in objects] for table in (first, second)]
    there = np.stack([one.num_there for one in rankings[0]])
    both = [coco_of_resamples(those, resampling) for those in rankings]
    whole, resampled = ([with_mean(figures[part]) for figures in both] for part in (0, 1))
    counts = [there.sum(axis=0), *there]
    return tuple(
        BoxDifference(
            name=name,
            num_objects=int(counts[place].sum()),
            num_groups=resampling.num_bearing(counts[place] > 0),
            **{
                figure: _difference(
                    [of[place, NAMES.index(figure)] for of in whole],
                    [of[:, place, NAMES.index(figure)] for of in resampled],
                    resampling,
                    resampling.num_bearing(counts[place] > 0),
                )
                for figure in ("ap", "ap50")
            },
        )
        for place, name in enumerate(("", *first.objects))
    )


def with_mean(figures: FloatArray) -> FloatArray:
    """Return `(..., 1 + C, 6)` of `(..., C, 6)` figures of objects: their mean where they are defined, then each."""
    mean = mean_where_defined(np.swapaxes(figures, -1, -2))
    return np.concatenate([mean[..., None, :], figures], axis=-2)


def refuse_other_truth(first: ObjectTable, second: ObjectTable, names: tuple[str, str]) -> None:
    """Raise EvaluationError unless both tables, of the same objects in the same order, hold the same true boxes."""
    if first.paths.tolist() != second.paths.tolist():
        raise EvaluationError(f"{names[0]} and {names[1]} do not know the objects of the same pictures: {_AGAIN}")
    other = [
        path
        for path, one, another in zip(first.paths, first.pictures, second.pictures, strict=True)
        if one.truth.corners.shape != another.truth.corners.shape
        or not np.allclose(one.truth.corners, another.truth.corners, atol=_TOLERANCE_PX)
        or (one.truth.objects != another.truth.objects).any()
        or (one.truth.ignored != another.truth.ignored).any()
    ]
    if other:
        raise EvaluationError(
            f"{names[0]} and {names[1]} were measured against other true boxes in {named(other)}: {_AGAIN}"
        )


def _difference(
    whole: list[FloatArray], resampled: list[FloatArray], resampling: Resampling, num_bearing: int
) -> Difference:
    """whole: both models' figure, `()`; resampled: the same of all resamples, `(B,)`; NaN where undefined."""
    first, second = (None if np.isnan(value) else float(value) for value in whole)
    gain = as_figure(whole[1] - whole[0], resampling.ends(resampled[1] - resampled[0], num_bearing))
    return Difference(first=first, second=second, difference=gain.value, low=gain.low, high=gain.high)
