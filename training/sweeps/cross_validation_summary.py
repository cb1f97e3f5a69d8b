"""Pool the out-of-fold predictions of a cross-validation and say what was reached, with intervals over objects."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dataset.manifest import Manifest
from evaluation.boxes import over_folds as box_folds
from evaluation.outlines import over_folds as outline_folds
from evaluation.params import EvaluateParams
from evaluation.predictions import PREDICTIONS_FILE, Predictions, PredictionsError, pool
from evaluation.statistics.bootstrap import bootstrap_intervals
from evaluation.statistics.metrics import confusion_matrix, metrics_of_confusion
from project.write_whole import write_whole
from runtime.model.contract import Task
from training.sweeps.box_summary import box_table, boxes_of
from training.sweeps.found_summary import SummedUp
from training.sweeps.outline_summary import outline_table, outlines_of


class FoundBy(NamedTuple):
    """How what a task finds is summed up.

    key: of it in the summary. read: a seed's folds. of: what the folds of each seed, and of all, reached. table: of it.
    """

    key: str
    read: Callable[[Path, Predictions, Manifest], Any]
    of: Callable[[str, Mapping[int, Any], EvaluateParams], Sequence[SummedUp]]
    table: Callable[[Sequence[Any]], str]


FOUND: dict[Task, FoundBy] = {
    "segmentation": FoundBy("outlines", outline_folds.read_folds, outlines_of, outline_table),
    "detection": FoundBy("boxes", box_folds.read_folds, boxes_of, box_table),
}
SUMMARY_FILE = "summary.json"
TABLE_FILE = "summary.md"
# Which of the last two there is depends on whether the data state which class is no defect.
FIGURES = {
    "macro_f1": "macro-F1",
    "accuracy": "accuracy",
    "defect_f1": "defect-or-not F1",
    "not_largest_f1": "F1 of not being of the largest class",
}
NO_NORMAL_CLASS = (
    "The data state no normal class (`NORMAL=`), so that defect or not is not measured: the last figure tells the "
    "class of most pictures from all others."
)


@dataclass(frozen=True)
class Reached:
    """Figures of one seed's pooled predictions; low and high are the ends of the bootstrap interval over groups.

    seed: None for predictions averaged over all seeds.
    """

    protocol: str
    seed: int | None
    num_images: int
    num_groups: int
    value: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    f1_by_class: dict[str, float]


def write_summary(
    out_dir: Path, num_folds: int, params: EvaluateParams, normal_class: str, manifest: Manifest,
    task: Task = "classification",
) -> str:  # fmt: skip
    """Write pooled predictions, `summary.json` and `summary.md`; return the tables.

    normal_class: the class that the data's description states as no defect, or ''. manifest: of the pictures, with
    whose masks or boxes those of all folds are compared, where the task finds any.
    A seed that lacks a fold gives no figures: the rest would not cover every picture. By group all seeds have the same
    folds, so the models of several may vote on a picture that none of them saw; by image they have not.
    Raises PredictionsError or EvaluationError for predictions, maps or boxes that cannot be used, ManifestError for
    masks or true boxes.
    """
    found_by = FOUND.get(task)
    reached, incomplete = [], []
    found: list[SummedUp] = []
    for protocol, count in (("group", num_folds), ("image", 1)):
        pooled: dict[int, Predictions] = {}
        folds: dict[int, Any] = {}
        for seed_dir in _seed_folders(out_dir):
            parts = sorted(seed_dir.glob(f"{protocol}[0-9]*/{PREDICTIONS_FILE}"))
            if len(parts) == count:
                seed, table_path = int(seed_dir.name.removeprefix("seed")), seed_dir / f"{protocol}.csv"
                pooled[seed] = pool([Predictions.read(path) for path in parts])
                pooled[seed].write(table_path)
                reached.append(figures_of(pooled[seed], protocol, seed, params, normal_class))
                if found_by:
                    folds[seed] = found_by.read(table_path, pooled[seed], manifest)
            elif parts:
                incomplete.append(f"{seed_dir.name} {protocol}: {len(parts)} of {count} folds")
        if protocol == "group" and len(pooled) > 1:
            reached.append(figures_of(average(list(pooled.values())), protocol, None, params, normal_class))
        found += found_by.of(protocol, folds, params) if found_by else []
    document: dict[str, Any] = {"reached": [asdict(one) for one in reached], "incomplete": incomplete}
    tables = [table(reached, incomplete, params.confidence)]
    if found_by:
        document[found_by.key] = [one.document() for one in found]
        tables.append(found_by.table(found))
    write_whole(out_dir / SUMMARY_FILE, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    text = "\n".join(filter(None, tables))
    write_whole(out_dir / TABLE_FILE, text)
    return text


def _seed_folders(out_dir: Path) -> list[Path]:
    """Return the folders of seeds by their number."""
    found = [path for path in out_dir.glob("seed*") if path.name.removeprefix("seed").isdecimal()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("seed")))


def average(seeds: list[Predictions]) -> Predictions:
    """Return the mean of several models' probabilities of the same pictures. Raises PredictionsError for others."""
    first, *others = seeds
    for other in others:
        if other.classes != first.classes or not np.array_equal(other.paths, first.paths):
            raise PredictionsError("the seeds have predictions of different pictures: choose another --out")
    return replace(first, probs=np.mean([one.probs for one in seeds], axis=0))


def figures_of(
    pooled: Predictions, protocol: str, seed: int | None, params: EvaluateParams, normal_class: str
) -> Reached:
    """Compute the headline figures.

    normal_class: one of the classes; '' tells the largest class from all others instead, under a name of its own.
    """
    num_classes = len(pooled.classes)
    labels, predicted = pooled.labels, pooled.predicted
    largest = int(np.bincount(labels, minlength=num_classes).argmax())
    binary_name, apart = (
        ("defect_f1", pooled.classes.index(normal_class)) if normal_class else ("not_largest_f1", largest)
    )
    metrics = metrics_of_confusion(confusion_matrix(labels, predicted, num_classes))
    intervals = bootstrap_intervals(labels, predicted, pooled.groups, num_classes, params)
    is_other, is_called = (labels != apart).astype(np.int64), (predicted != apart).astype(np.int64)
    binary = metrics_of_confusion(confusion_matrix(is_other, is_called, 2))
    binary_ends = bootstrap_intervals(is_other, is_called, pooled.groups, 2, params).per_class["f1"][:, 1]
    names = ("macro_f1", "accuracy")
    return Reached(
        protocol=protocol,
        seed=seed,
        num_images=len(labels),
        num_groups=len(set(pooled.groups)),
        value={name: float(getattr(metrics, name)) for name in names} | {binary_name: float(binary.f1[1])},
        low={name: float(intervals.headline[name][0]) for name in names} | {binary_name: float(binary_ends[0])},
        high={name: float(intervals.headline[name][1]) for name in names} | {binary_name: float(binary_ends[1])},
        f1_by_class=dict(zip(pooled.classes, map(float, metrics.f1), strict=True)),
    )


def table(reached: list[Reached], incomplete: list[str], confidence: float) -> str:
    """Return a Markdown table: a row a seed and protocol; of several seeds their mean, and their models' vote."""
    names = list(reached[0].value) if reached else ["macro_f1", "accuracy"]
    lines = [
        f"| split by | seed | pictures / objects | {' | '.join(FIGURES[name] for name in names)} |",
        f"|---|---|---|{'---|' * len(names)}",
    ]
    for protocol in ("group", "image"):
        rows = [one for one in reached if one.protocol == protocol]
        seeds = [one for one in rows if one.seed is not None]
        for one in rows:
            name = f"probabilities averaged over {len(seeds)}" if one.seed is None else str(one.seed)
            cells = [f"{one.value[n]:.3f} ({one.low[n]:.3f} to {one.high[n]:.3f})" for n in names]
            lines.append(f"| {protocol} | {name} | {one.num_images} / {one.num_groups} | {' | '.join(cells)} |")
        if len(seeds) > 1:
            cells = [_spread([one.value[n] for one in seeds]) for n in names]
            lines.append(f"| {protocol} | mean of {len(seeds)} | | {' | '.join(cells)} |")
    note = f"In brackets: {confidence:.0%} interval, bootstrapped over objects; of a mean: lowest and highest seed."
    notes = [note, NO_NORMAL_CLASS] if "not_largest_f1" in names else [note]
    return "\n".join([*lines, "", *notes, *(f"Not complete: {what}." for what in incomplete)]) + "\n"


def _spread(values: list[float]) -> str:
    array: npt.NDArray[Any] = np.asarray(values)
    return f"{array.mean():.3f} ({array.min():.3f} to {array.max():.3f})"
