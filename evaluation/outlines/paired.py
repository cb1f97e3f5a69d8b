"""Compare the outlines of two models on the same pictures, from the pixels that `regions.csv` counts of each.

Both models are measured on the same resampled groups, as in `evaluation.statistics.paired`.
"""

from pathlib import Path

import numpy as np

from evaluation.comparison import OutlineDifference
from evaluation.document import EvaluationError
from evaluation.outlines.overlap import dice_of, iou_of
from evaluation.outlines.picture_sums import THERE
from evaluation.outlines.region_table import REGIONS_FILE, RegionTable
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import Resampling, figure_of_sums
from evaluation.statistics.paired import with_gain

_PLACES = ("evaluation", ".")  # of the table, seen from the predictions


def find_region_table(predictions_path: Path) -> Path | None:
    """Return where the pixels of these predictions are counted: in `evaluation/` beside them, or beside them."""
    return find_table(predictions_path, REGIONS_FILE)


def find_table(predictions_path: Path, file: str) -> Path | None:
    """Return where evaluation left a table of these predictions: in `evaluation/` beside them, or beside them."""
    found = (predictions_path.parent / place / file for place in _PLACES)
    return next((path for path in found if path.is_file()), None)


def read_region_table(path: Path, pictures: Predictions) -> RegionTable:
    """Read a table in the order of `pictures`. Raises EvaluationError if it is malformed or of other pictures."""
    table = RegionTable.read(path)
    if set(table.paths) != set(pictures.paths) or len(table.paths) != len(pictures.paths):
        raise EvaluationError(
            f"{path} is not of the pictures that are compared: it counts {len(table.paths)}, and "
            f"{len(set(pictures.paths) - set(table.paths))} of {len(pictures.paths)} are not among them; run python -m "
            "evaluation.evaluate with --maps"
        )
    return table.at(list(pictures.paths))


def compare_outlines(
    first: RegionTable, second: RegionTable, names: tuple[str, str], params: EvaluateParams
) -> tuple[OutlineDifference, ...]:
    """Return the differences of any region, then of each region; second minus first.

    first, second: of the same pictures in the same order; names: of their files. Raises EvaluationError if the models
    know other regions.
    """
    if set(first.regions) != set(second.regions):
        raise EvaluationError(
            f"{names[0]} knows the regions {', '.join(first.regions)}, {names[1]} {', '.join(second.regions)}: "
            "outlines of other regions cannot be compared"
        )
    resampling = Resampling(first.groups, params)
    places = [(0, 0), *((1 + place, 1 + second.regions.index(name)) for place, name in enumerate(first.regions))]
    return tuple(
        _compare(name, np.hstack([first.pixels[:, one], second.pixels[:, other]]), resampling)
        for name, (one, other) in zip(("", *first.regions), places, strict=True)
    )


def _compare(
    name: str, pixels: np.ndarray[tuple[int, ...], np.dtype[np.int64]], resampling: Resampling
) -> OutlineDifference:
    """pixels: `(N, 6)`, three counts of each model."""
    columns = pixels.astype(np.float64)
    has = (pixels[:, THERE] > 0) | (pixels[:, 3 + THERE] > 0)
    bearing = resampling.num_bearing(has)
    statistics = {
        "dice": lambda s: dice_of(s[..., 3:]) - dice_of(s[..., :3]),
        "iou": lambda s: iou_of(s[..., 3:]) - iou_of(s[..., :3]),
    }
    gains = figure_of_sums(resampling, columns, statistics, dict.fromkeys(statistics, bearing))
    sums = columns.sum(axis=0)
    return OutlineDifference(
        name=name,
        num_images=int(has.sum()),
        num_groups=bearing,
        dice=with_gain(dice_of(sums[:3]), dice_of(sums[3:]), gains["dice"]),
        iou=with_gain(iou_of(sums[:3]), iou_of(sums[3:]), gains["iou"]),
    )
