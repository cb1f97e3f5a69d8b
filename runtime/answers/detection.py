"""What the model finds in an image: boxes with a score and a class, in the image's own pixels."""

from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.answers.classification import ModelIdentity, Prediction, to_predictions
from runtime.model.contract import BOXES, OBJECTS, SCORES, DetectionContract, OutputArray, Outputs
from runtime.model.placed_boxes import boxes_in_picture, is_in_picture
from runtime.model.preprocess import Placement


class DetectedBox(BaseModel):
    """An upright rectangle by two corners, in pixels of the upright image; pixel `i` covers `[i, i + 1)`.

    Raises ValueError unless the second corner lies right of and below the first, which a box given as its centre and
    size would seldom hold to.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    x1: Annotated[float, Field(ge=0, description="left edge")]
    y1: Annotated[float, Field(ge=0, description="top edge")]
    x2: Annotated[float, Field(gt=0, description="right edge")]
    y2: Annotated[float, Field(gt=0, description="bottom edge")]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.x2 <= self.x1 or self.y2 <= self.y1:
            raise ValueError(
                f"a box is (x1, y1, x2, y2), two corners with x1 < x2 and y1 < y2, but this one is "
                f"({self.x1:g}, {self.y1:g}, {self.x2:g}, {self.y2:g}); is it a centre and a size?"
            )
        return self


class Detection(BaseModel):
    """One object that was found."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    box: DetectedBox
    score: Annotated[float, Field(ge=0, le=1, description="how sure the detector is of it")]
    class_id: Annotated[int, Field(ge=0, description="index of the class in the contract's objects")]
    class_name: Annotated[str, Field(description="what it is")]


class Detections(Prediction):
    """What the model says of one image, and which objects it finds in it: the surest first."""

    width: Annotated[int, Field(ge=1, description="of the upright image, in pixels")]
    height: Annotated[int, Field(ge=1, description="of the upright image, in pixels")]
    detections: Annotated[list[Detection], Field(description="the surest first")]


def to_detections(
    outputs: Outputs, places: Sequence[Placement], contract: DetectionContract, model: ModelIdentity
) -> list[Detections | None]:
    """Bring each image's boxes back to its own pixels, and leave out those whose score is below the threshold.

    outputs: those of `contract.outputs`, N rows each. places: where each image lies in the network's input. Returns N
    answers in the same order; None stands for a row with a value that is not finite. Boxes are cut off at the image's
    edges, and at those of the part that `crop` sees; one that lies outside, as in a letterbox's bars, is left out.
    """
    predictions = to_predictions(outputs, contract, model)
    rows = zip(outputs[BOXES], outputs[SCORES], outputs[OBJECTS], places, strict=True)
    return [
        None
        if prediction is None or not (np.isfinite(boxes).all() and np.isfinite(scores).all())
        else Detections(
            **dict(prediction),
            width=place.picture[0],
            height=place.picture[1],
            detections=_detections(boxes, scores, objects, place, contract),
        )
        for prediction, (boxes, scores, objects, place) in zip(predictions, rows, strict=True)
    ]


def _detections(
    boxes: OutputArray, scores: OutputArray, objects: OutputArray, place: Placement, contract: DetectionContract
) -> list[Detection]:
    placed = boxes_in_picture(boxes, place)
    is_inside = is_in_picture(placed)
    kept = np.flatnonzero((scores >= contract.threshold) & is_inside)
    return [
        Detection(
            box=DetectedBox(**dict(zip(("x1", "y1", "x2", "y2"), placed[row].tolist(), strict=True))),
            score=min(1.0, max(0.0, float(scores[row]))),
            class_id=int(objects[row]),
            class_name=contract.objects[int(objects[row])],
        )
        for row in kept.tolist()
    ]
