"""What a model says of a picture as Label Studio's suggestion for a task: results, a score, the model's version."""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from runtime.answers.classification import ModelIdentity, Prediction
from runtime.answers.detection import Detections
from runtime.answers.index_mask import counts_of
from runtime.answers.segmentation import RunLengths, Segmentation
from runtime.label_studio.brush_runs import MaskArray
from runtime.label_studio.results import Corners, Result, box_result, brush_result, choice_result
from runtime.label_studio.template import Control, Template

_VERSION_CHARACTERS = 12  # of a model's SHA-256


class _Found(NamedTuple):
    """One object or region of an answer."""

    label: str
    score: float
    corners: Corners
    mask: RunLengths | None


def suggest(answer: Prediction, template: Template) -> dict[str, Any]:
    """Return the suggestion of an answer, in the form of Label Studio's `predictions`.

    Names that the template does not have are left out, since Label Studio refuses them. `score` is that of the least
    sure of the regions said, or the probability of the class: Label Studio shows the tasks of low scores first.
    """
    results, scores = [], []
    if (control := template.control("choices")) and answer.label in control.values:
        results.append(choice_result(control, answer.label, answer.probability))
        scores.append(answer.probability)
    found = list(_found(answer))
    shown = [(one, result) for number, one in enumerate(found) for result in _regions(one, number, answer, template)]
    results += [result for _, result in shown]
    scores += [one.score for one, _ in shown]
    if not found and template.nothing and _tells_regions(answer):
        results.append(choice_result(template.nothing, template.nothing.values[0], answer.probability))
    score = min(scores, default=answer.probability)
    return {"result": results, "score": score, "model_version": model_version(answer.model)}


def model_version(model: ModelIdentity) -> str:
    """Return what Label Studio calls a model: its name and version in the store and the begin of its SHA-256."""
    return f"{model.name}:{model.version}:{model.sha256[:_VERSION_CHARACTERS]}"


def unknown_names(names: tuple[str, ...], template: Template) -> list[str]:
    """Return which names of a model no control of the template has."""
    known = {value for control in template.controls for value in control.values}
    return sorted(set(names) - known)


def _tells_regions(answer: Prediction) -> bool:
    return isinstance(answer, Segmentation | Detections)


def _found(answer: Prediction) -> Iterator[_Found]:
    if isinstance(answer, Segmentation):
        for region in answer.regions:
            box = region.box
            yield _Found(region.label, region.score, (box.left, box.top, box.right, box.bottom), region.mask)
    elif isinstance(answer, Detections):
        for one in answer.detections:
            corners = one.box.x1, one.box.y1, one.box.x2, one.box.y2
            yield _Found(one.class_name, one.score, corners, one.mask_rle)


def _regions(found: _Found, number: int, answer: Prediction, template: Template) -> Iterator[Result]:
    assert isinstance(answer, Segmentation | Detections)
    size = answer.width, answer.height
    boxes, brushes = template.control("rectanglelabels"), template.control("brushlabels")
    if _names(boxes, found.label):
        yield box_result(boxes, found.label, found.corners, size, f"box-{number}", found.score)
    if _names(brushes, found.label) and found.mask:
        yield brush_result(brushes, found.label, _drawn(found.mask), f"brush-{number}", found.score)


def _names(control: Control | None, label: str) -> TypeGuard[Control]:
    return control is not None and label in control.values


def _drawn(runs: RunLengths) -> MaskArray:
    height, width = runs.size
    counts = counts_of(runs)
    is_inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.asarray(is_inside.reshape(width, height).T)
