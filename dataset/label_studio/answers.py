"""Decide what the annotations of a task say together, or why they say nothing: nothing is guessed."""

from collections.abc import Sequence
from dataclasses import dataclass

from dataset.label_studio.agreement import matched_ious
from dataset.label_studio.export_file import Annotation, LabelTask, Region

AGREE_IOU = 0.75
"""Least IoU of each region with its counterpart at which two annotators are taken to have marked the same."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of a task. label: its class, '' where its regions say it. says_nothing: nothing is to be marked."""

    label: str
    says_nothing: bool
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A task that says nothing, and why. kind: `unlabelled`, `skipped`, `empty`, `unusable` or `conflict`."""

    kind: str
    reason: str


def settle(task: LabelTask) -> Answer | NoAnswer:
    """Return what a task's annotations say together.

    One that is marked as ground truth counts alone. Else all must agree: in the class, and in their regions by
    `AGREE_IOU`, of which those of the first annotation are taken. A skipped annotation says nothing.
    """
    given = [one for one in task.annotations if not one.skipped]
    trusted = [one for one in given if one.trusted]
    if not task.annotations:
        return NoAnswer("unlabelled", "nobody has labelled it")
    if not given:
        return NoAnswer("skipped", f"skipped by {_who(task.annotations)}")
    answers = []
    for one in trusted or given:
        answer = answer_of(one)
        if isinstance(answer, NoAnswer):
            return answer
        answers.append((one, answer))
    first_of, first = answers[0]
    for one, answer in answers[1:]:
        if difference := _difference(first, answer):
            return NoAnswer("conflict", f"{_who([first_of])} and {_who([one])} disagree: {difference}")
    return first


def answer_of(annotation: Annotation) -> Answer | NoAnswer:
    """Return what one annotation says, or why it says nothing; a skipped one says nothing."""
    if annotation.skipped:
        return NoAnswer("skipped", f"skipped by {_who([annotation])}")
    who = _who([annotation])
    if annotation.problem:
        return NoAnswer("unusable", f"{annotation.problem} (by {who})")
    said = [label for labels in annotation.choices.values() for label in labels]
    if len(said) > 1:
        return NoAnswer("unusable", f"several classes are said, of which one is needed: {', '.join(said)} (by {who})")
    if not said and not annotation.regions and not annotation.says_nothing:
        return NoAnswer("empty", f"submitted without a word by {who}")
    if annotation.regions and annotation.says_nothing:
        return NoAnswer("unusable", f"regions are marked, and it is said that there is nothing to mark (by {who})")
    return Answer(said[0] if said else "", annotation.says_nothing, annotation.regions)


def _difference(first: Answer, second: Answer) -> str:
    """Say how two answers differ, '' if they do not."""
    if first.label != second.label:
        return f"{first.label or 'no class'} against {second.label or 'no class'}"
    if len(first.regions) != len(second.regions):
        return f"{len(first.regions)} region(s) against {len(second.regions)}"
    lowest = min(matched_ious(first.regions, second.regions), default=1.0)
    return f"a region has an IoU of {lowest:.2f} with its counterpart" if lowest < AGREE_IOU else ""


def _who(annotations: Sequence[Annotation]) -> str:
    return ", ".join(sorted({f"annotator {one.annotator or 'unknown'}" for one in annotations}))
