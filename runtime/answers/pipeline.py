"""What the pipeline says of one image: the border between detector, classifier of crops and segmenter, and the answer.

`/detect` answers with these (docs/API.md), and filters of a detector get them.
"""

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.answers.classification import ModelIdentity
from runtime.answers.detection import Detection, Detections

Failure = Literal["deadline", "overloaded", "failed"]
"""Why a model behind the detector has no answer: its share of the deadline passed, its queue is full, or it failed."""
Stage = Literal["detect", "classify", "mask"]

_CLOSED = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, json_schema_serialization_defaults_required=True)


class Classification(BaseModel):
    """What the classifier of crops says of one detection."""

    model_config = _CLOSED

    detection_index: Annotated[int, Field(ge=0, description="place of the detection in detections, from 0")]
    class_id: Annotated[int, Field(ge=0, description="index of the class in the classifier's contract")]
    class_name: Annotated[str, Field(description="the most probable class")]
    score: Annotated[float, Field(ge=0, le=1, description="calibrated probability of that class")]
    abstained: Annotated[
        bool, Field(description="whether the score is too low to rely on; the class is stated anyway")
    ] = False


class Unclassified(BaseModel):
    """A detection that has no classification, and why."""

    model_config = _CLOSED

    detection_index: Annotated[int, Field(ge=0, description="place of the detection in detections, from 0")]
    reason: Annotated[
        Literal["too_small", "not_finite", "no_classifier", "deadline", "overloaded", "failed"],
        Field(
            description="too_small: its crop has a side under 8 pixels; not_finite: the classifier's output for it "
            "is NaN or infinity; the others as in classified"
        ),
    ]


_Entry = TypeVar("_Entry", Classification, Unclassified)


class StageTimes(BaseModel):
    """Where the time went, in milliseconds; 0 for a stage that had nothing to do.

    Classifying and outlining run side by side. What writing the answer took is in `Server-Timing` (`encode`) alone.
    """

    model_config = _CLOSED

    decode_ms: Annotated[float, Field(ge=0, description="from the file's bytes to the inputs of the models")]
    queue_ms: Annotated[float, Field(ge=0, description="until the detector began")]
    detect_ms: Annotated[float, Field(ge=0, description="in the detector, with the others of the batch")]
    crop_ms: Annotated[float, Field(ge=0, description="cutting and resizing the crops")]
    classify_ms: Annotated[float, Field(ge=0, description="until the crops are classified, with their wait")]
    mask_ms: Annotated[float, Field(ge=0, description="until the masks are there, with the segmenter's wait")]


class StageModel(ModelIdentity):
    """Which model did what."""

    stage: Annotated[Stage, Field(description="what it did")]


class PipelineResult(Detections):
    """What is in one image: objects with boxes, the classes of their crops, and the class of the whole image.

    Every detection is in `classifications` or in `unclassified`, once. Raises ValueError for an index that is of no
    detection, and for a detection that is in neither or twice.
    """

    image_id: Annotated[str, Field(description="SHA-256 of the image file")]
    trace_id: Annotated[
        str, Field(description="of the request's traceparent or of the service's tracing; else its X-Request-ID")
    ]
    classifications: Annotated[list[Classification], Field(description="of the crops, in the order of detections")]
    unclassified: Annotated[list[Unclassified], Field(description="detections without one, in the same order")]
    classified: Annotated[
        Literal["done", "no_classifier", "deadline", "overloaded", "failed"],
        Field(
            description="no_classifier: none is served; deadline: its share of the deadline passed; overloaded: too "
            "many crops wait; failed: the service's log has the cause"
        ),
    ]
    masked: Annotated[
        Literal["done", "no_segmenter", "deadline", "overloaded", "failed"],
        Field(description="whether masks come from a segmenter; the words mean what they mean in classified"),
    ]
    inference_ms: Annotated[float, Field(ge=0, description="in the detector and in the classifier, without waiting")]
    timings: StageTimes
    models: Annotated[list[StageModel], Field(description="those that were asked, in the order of the stages")]

    @model_validator(mode="after")
    def _check_indices(self) -> Self:
        named = Counter(entry.detection_index for entry in self.classifications)
        named.update(entry.detection_index for entry in self.unclassified)
        wrong = sorted(index for index in named if index >= len(self.detections))
        wrong += [index for index in range(len(self.detections)) if named[index] != 1]
        if wrong:
            raise ValueError(
                f"each of the {len(self.detections)} detections must be in classifications or in unclassified, once; "
                f"wrong for detection_index {wrong[0]}; `kept` leaves detections out of all lists"
            )
        return self

    def kept(self, wanted: Callable[[Detection], bool]) -> Self:
        """Return the result with the detections alone for which `wanted` is true, counted anew in every list."""
        places = [index for index, detection in enumerate(self.detections) if wanted(detection)]
        new = {old: index for index, old in enumerate(places)}

        def moved(entries: list[_Entry]) -> list[_Entry]:
            return [
                entry.model_copy(update={"detection_index": new[entry.detection_index]})
                for entry in entries
                if entry.detection_index in new
            ]

        return self.model_copy(
            update={
                "detections": [self.detections[index] for index in places],
                "classifications": moved(self.classifications),
                "unclassified": moved(self.unclassified),
            }
        )
