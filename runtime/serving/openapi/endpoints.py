"""How the endpoints differ from each other in the OpenAPI document, with an example of a request and of an answer."""

import json
from dataclasses import dataclass
from typing import Any

from runtime.answers.pipeline import PipelineResult
from runtime.answers.results import Prediction
from runtime.answers.segmentation import Segmentation

# 64 x 48 pixels, grey with a red rectangle; every generated client can send it.
EXAMPLE_PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAAAwAQMAAACbhe5cAAAABlBMVEV4eHjcFBSV2NpiAAAAGklEQVR42mNgoBaw//+HgYGBgQnGHxDGsAcAPAACV3jk"
    "WRAAAAAASUVORK5CYII="
)
_DETECTOR = {"name": "vision-detector", "version": "q3kxb2wz", "sha256": "2c26" + 60 * "0"}
_CLASSIFIER = {"name": "vision-crop-classifier", "version": "r7ynd5ab", "sha256": "fcde" + 60 * "0"}
DETECT_EXAMPLE: dict[str, Any] = {
    "label": "crack",
    "class_id": 0,
    "probability": 0.97,
    "probabilities": {"crack": 0.97, "good": 0.03},
    "logits": {"crack": 2.1, "good": -1.4},
    "abstained": False,
    "abstain_below": None,
    "marks": [],
    "model": _DETECTOR,
    "width": 64,
    "height": 48,
    "detections": [
        {
            "box": {"x1": 10.0, "y1": 8.0, "x2": 30.0, "y2": 23.0},
            "score": 0.91,
            "class_id": 0,
            "class_name": "crack",
            "mask_rle": None,
        },
        {
            "box": {"x1": 50.5, "y1": 40.0, "x2": 55.0, "y2": 44.5},
            "score": 0.55,
            "class_id": 0,
            "class_name": "crack",
            "mask_rle": None,
        },
    ],
    "image_id": "5891" + 60 * "0",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "classifications": [{"detection_index": 0, "class_id": 1, "class_name": "deep", "score": 0.88, "abstained": False}],
    "unclassified": [{"detection_index": 1, "reason": "too_small"}],
    "classified": "done",
    "masked": "no_segmenter",
    "inference_ms": 14.2,
    "timings": {
        "decode_ms": 3.1,
        "queue_ms": 0.2,
        "detect_ms": 11.8,
        "crop_ms": 0.6,
        "classify_ms": 2.7,
        "mask_ms": 0.0,
    },
    "models": [{**_DETECTOR, "stage": "detect"}, {**_CLASSIFIER, "stage": "classify"}],
}


@dataclass(frozen=True)
class Endpoint:
    """How one endpoint differs from the others.

    does, summary: in words; `does` is empty where another endpoint does the same. item: what is said of one image.
    stages: of `Server-Timing`. answers_pictures: whether it has a query, which JSON bodies can state, too, and answers
    in PNG. streams: whether it answers in lines of JSON. example: of an item, if there is one.
    """

    does: str
    summary: str
    item: type[Prediction]
    stages: str
    answers_pictures: bool = False
    streams: bool = False
    example: dict[str, Any] | None = None

    @property
    def json_body(self) -> str:
        """The name of its body's schema."""
        if self.streams:
            return "ImageList"
        return "ImagesAndPartsInBase64" if self.answers_pictures else "ImagesInBase64"


ENDPOINTS: dict[str, Endpoint] = {
    "predict": Endpoint(
        "Classifies images.", "Classify one or more images", Prediction, "read, decode, queue, inference, total"
    ),
    "segment": Endpoint(
        "Outlines what is in images.",
        "Outline what is in one or more images",
        Segmentation,
        "read, decode, queue, inference, encode, total",
        answers_pictures=True,
    ),
    "detect": Endpoint(
        "Finds objects and names them.",
        "Find objects in one or more images and name them",
        PipelineResult,
        "read, decode, queue, detect, crop, classify, mask, encode, total",
        example=DETECT_EXAMPLE,
    ),
    "detect_batch": Endpoint(
        "",
        "Find objects in many images and stream an answer for each",
        PipelineResult,
        "read, total, until the first line; each line has its own",
        streams=True,
        example=DETECT_EXAMPLE,
    ),
}
LINE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["index"],
    "description": "One line of the stream: `result`, or `error` for an image that cannot be answered.",
    "properties": {
        "index": {"type": "integer", "description": "place of the image in the request, from 0"},
        "result": {"$ref": "#/components/schemas/PipelineResult"},
        "error": {"$ref": "#/components/schemas/Problem"},
    },
}
_CORRUPT = {
    "code": "corrupt_image",
    "message": "image 1: the image is truncated or corrupt",
    "index": 1,
    "request_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}
LINES_EXAMPLE = "".join(
    json.dumps(line, separators=(",", ":")) + "\n"
    for line in ({"index": 1, "error": _CORRUPT}, {"index": 0, "result": DETECT_EXAMPLE})
)
