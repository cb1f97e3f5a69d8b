"""Borders of the pipeline: what is no box, and what says too much or too little of a detection, is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from runtime.answers.detection import DetectedBox
from runtime.answers.pipeline import PipelineResult
from runtime.serving.openapi.endpoints import DETECT_EXAMPLE


def result(**changes: Any) -> PipelineResult:
    """The document's example, which has two detections, the second of them too small."""
    return PipelineResult.model_validate({**DETECT_EXAMPLE, **changes})


def with_box(box: dict[str, float]) -> list[dict[str, Any]]:
    return [{**DETECT_EXAMPLE["detections"][0], "box": box}, DETECT_EXAMPLE["detections"][1]]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ({"x1": 40, "y1": 30, "x2": 20, "y2": 15}, "is it a centre and a size"),
        ({"x1": 50, "y1": 30, "x2": 80, "y2": 40}, "reaches beyond the picture of 64 x 48 pixels; is it a centre"),
        ({"cx": 40, "cy": 30, "w": 20, "h": 15}, "x1"),
        ({"x1": 1, "y1": 1, "x2": 5, "y2": 5, "w": 4}, "Extra inputs are not permitted"),
        ({"x1": -1, "y1": 1, "x2": 5, "y2": 5}, "greater than or equal to 0"),
        ({"x1": 1, "y1": 1, "x2": float("nan"), "y2": 5}, "finite number"),
    ],
)
def test_what_is_no_box_of_two_corners_in_the_picture_is_refused(box: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        result(detections=with_box(box))


@pytest.mark.parametrize(
    ("lists", "place"),
    [
        ({"classifications": []}, 0),
        ({"unclassified": [{"detection_index": i, "reason": "failed"} for i in (0, 1)]}, 0),
        ({"unclassified": [{"detection_index": 2, "reason": "failed"}]}, 2),
        ({"detections": DETECT_EXAMPLE["detections"][:1]}, 1),
    ],
)
def test_every_detection_is_classified_or_not_once(lists: dict[str, Any], place: int) -> None:
    with pytest.raises(ValidationError, match=f"wrong for detection_index {place}; `kept` leaves"):
        result(**lists)


def test_what_is_kept_is_counted_anew() -> None:
    kept = result().kept(lambda detection: detection.score < 0.9)
    assert [detection.score for detection in kept.detections] == [0.55]
    assert kept.classifications == []
    assert [(entry.detection_index, entry.reason) for entry in kept.unclassified] == [(0, "too_small")]
    assert PipelineResult.model_validate(dict(kept)) == kept


def test_a_box_keeps_its_numbers() -> None:
    box = DetectedBox(x1=0, y1=0.5, x2=0.75, y2=48)
    assert box.model_dump() == {"x1": 0, "y1": 0.5, "x2": 0.75, "y2": 48}
