"""How far two annotators agree: Cohen's kappa of classes, intersection over union of regions."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sklearn.metrics import cohen_kappa_score

from dataset.label_studio.agreement import matched_ious
from dataset.label_studio.answers import Answer, NoAnswer, answer_of
from dataset.label_studio.export_file import LabelTask


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two annotators, over the tasks that both answered.

    kappa: Cohen's, of their classes; None where no class is said, and where both say one and the same class of all, so
    that chance alone would agree as well. same: share of tasks with the same class. mean_iou: over all regions of
    either, 0 for one without a counterpart; None where nobody marked a region.
    """

    annotators: tuple[str, str]
    num_tasks: int
    kappa: float | None
    same: float | None
    mean_iou: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def answers_by_annotator(task: LabelTask) -> dict[str, Answer]:
    """Return what each annotator said of a task, the last where one answered twice, without those who said nothing."""
    said = {one.annotator: answer_of(one) for one in task.annotations}
    return {name: answer for name, answer in said.items() if not isinstance(answer, NoAnswer)}


def agreements(tasks: Sequence[LabelTask]) -> list[Agreement]:
    """Return the agreement of every two annotators who answered a task together, by name."""
    answers = [said for task in tasks if len(said := answers_by_annotator(task)) > 1]
    pairs = sorted({pair for said in answers for pair in itertools.combinations(sorted(said), 2)})
    return [_agreement(pair, [said for said in answers if said.keys() >= set(pair)]) for pair in pairs]


def _agreement(pair: tuple[str, str], answers: Sequence[Mapping[str, Answer]]) -> Agreement:
    first, second = ([said[name] for said in answers] for name in pair)
    labels = [[answer.label for answer in own] for own in (first, second)]
    has_labels = any(label for own in labels for label in own)
    kappa = float(cohen_kappa_score(*labels)) if has_labels and len({*labels[0], *labels[1]}) > 1 else math.nan
    same = [one == other for one, other in zip(*labels, strict=True)]
    ious = [iou for one, other in zip(first, second, strict=True) for iou in matched_ious(one.regions, other.regions)]
    return Agreement(
        pair, len(answers), None if math.isnan(kappa) else kappa, sum(same) / len(same) if has_labels else None,
        sum(ious) / len(ious) if ious else None,
    )  # fmt: skip
