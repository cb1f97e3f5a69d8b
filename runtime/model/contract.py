"""The one statement of how an image becomes a prediction.

Training writes a `ModelContract`; it travels in the ONNX file's metadata and as `contract.json` beside it in the
model store, and it is checked when a model is loaded. Nothing else says how large an input is or what class 3 means.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)

from runtime.model.stated_filters import Filters
from runtime.model.tiles import Roi, TileParams

Task = Literal["classification", "segmentation", "detection"]
MODEL_NAME = "vision-classifier"  # in the contract, the model store and the tracking, where nobody names a model
MODEL_NAMES: dict[Task, str] = {
    "classification": MODEL_NAME, "segmentation": "vision-segmenter", "detection": "vision-detector",
}  # fmt: skip
DEFAULT_MODEL = f"{MODEL_NAME}:latest"  # tag in the model store
CONTRACT_FILE = "contract.json"
ONNX_FILE = "model.onnx"
CONTRACT_KEY = "vision.contract"  # key of the JSON in the ONNX file's metadata
DIRTY = "-dirty"  # ends a lineage's commit from which tracked files differed
IMAGES = "images"  # name of the graph's input; of its outputs:
PROBABILITIES, LOGITS = "probabilities", "logits"
REGION_MAP, FOREGROUND = "region_map", "foreground"
BOXES, SCORES, OBJECTS = "boxes", "scores", "objects"

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]*$"

ResizeRule = Literal["stretch", "letterbox", "crop"]
Interpolation = Literal["bilinear", "bicubic"]
Channel3 = tuple[float, float, float]
FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
OutputArray = np.ndarray[tuple[int, ...], np.dtype[Any]]
Outputs = dict[str, OutputArray]
"""What a graph computed of a batch: arrays by name, in the contract's order; the first axis counts images."""
MaxValue = Annotated[int, Field(ge=2, le=2**32 - 1)]


class ContractError(ValueError):
    """A contract that is missing, malformed, or at odds with the model it came with."""


class OutputSpec(NamedTuple):
    """One output of a graph: the shape that it has for one image, and the type of its elements."""

    shape: tuple[int, ...]
    dtype: Literal["float32", "uint8"] = "float32"


# Fields that contracts of old do not have, with what their absence means.
_LATER: dict[str, object] = {"max_value": None, "subject": "picture", "crop_margin": 0.0}


class Lineage(BaseModel):
    """Where a model came from; empty strings where a thing was not recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    git_commit: str = ""
    data_sha256: str = ""
    mlflow_run_id: str = ""
    backbone: str = ""
    weights: str = ""


class CommonContract(BaseModel):
    """What contracts of every task state: how to bring an image to the model, and where the model came from.

    `mean` and `std` are per RGB channel in units of [0, 1]; the ONNX graph applies them. `max_value` is white in
    samples of more than 8 bits whose file does not state their range; None is the container's, 65535 of 16 bits
    (docs/API.md). `classes[i]` names class `i`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=NAME_PATTERN)] = MODEL_NAME
    task: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    height: Annotated[int, Field(ge=8, le=4096)]
    width: Annotated[int, Field(ge=8, le=4096)]
    resize: ResizeRule = "stretch"
    interpolation: Interpolation = "bilinear"
    colour: Literal["rgb"] = "rgb"
    max_value: MaxValue | None = None
    mean: Channel3
    std: Channel3
    lineage: Lineage = Lineage()

    @model_validator(mode="after")
    def _check(self) -> Self:
        doubles = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if doubles or not all(self.classes):
            raise ValueError(f"class names must be unique and not empty, got {self.classes}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive in every channel, got {self.std}")
        return self

    @model_serializer(mode="wrap")
    def _keep_the_text(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write contracts as they have always been written: lineage last, and of later fields what is stated."""
        fields: dict[str, Any] = dump(self)
        lineage = fields.pop("lineage")
        stated = {name: value for name, value in fields.items() if name not in _LATER or value != _LATER[name]}
        return {**stated, "lineage": lineage}

    def to_json(self) -> str:
        """Return canonical JSON: equal contracts give equal text."""
        return self.model_dump_json(indent=2) + "\n"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()


class ClassificationContract(CommonContract):
    """One class an image. The graph gives `probabilities` and `logits`, whose column `i` is of class `i`.

    The graph divides logits by `temperature` before the softmax. `filters` stand between the model and the answer, in
    this order (docs/FILTERS.md). `subject` is what it looks at: a picture, or a crop of one, which is what a detector
    found and, on each side of it, `crop_margin` of its width or height (`runtime/model/crops.py`).
    """

    task: Literal["classification"] = "classification"
    subject: Literal["picture", "crop"] = "picture"
    crop_margin: Annotated[float, Field(ge=0, le=1)] = 0.0
    temperature: Annotated[float, Field(gt=0)] = 1.0
    filters: Filters = ()

    @property
    def outputs(self) -> dict[str, OutputSpec]:
        """The graph's outputs, in order."""
        return dict.fromkeys((PROBABILITIES, LOGITS), OutputSpec((len(self.classes),)))

    def check_outputs(self, outputs: Outputs) -> None:
        """Raise ContractError if a batch's outputs, of the right shapes, cannot be what they are named."""
        _check_probabilities(outputs)

    @model_validator(mode="after")
    def _check_subject(self) -> Self:
        if self.crop_margin and self.subject != "crop":
            raise ValueError("crop_margin is of a classifier whose subject is 'crop'")
        if self.subject == "crop" and any(step.kind == "image" for step in self.filters):
            raise ValueError(
                "a filter of kind 'image' sees whole pictures: state it for the detector, not for its crops"
            )
        return self


class SegmentationContract(CommonContract):
    """Where in an image each region is, and one class for the whole image.

    `regions[i]` names what the value `i + 1` of `region_map` marks. Of each pixel of the network's input the graph
    gives `foreground`, float32, the probability that it is of any region, and `region_map`, uint8, the region that it
    is then most likely of, 1 to len(regions); it is background where `foreground` is below `threshold`. A connected
    part of fewer than `min_region_px` pixels of the input is no region. With `merged` the one region stands for all
    that the data set's masks tell apart. `probabilities` and `logits` are the image's, as in `ClassificationContract`.
    `tiles` and `roi` say which parts of a picture are looked at where a request does not: all of it at once, unless
    stated.
    """

    task: Literal["segmentation"] = "segmentation"
    name: Annotated[str, Field(pattern=NAME_PATTERN)] = MODEL_NAMES["segmentation"]
    regions: Annotated[tuple[str, ...], Field(min_length=1, max_length=254)]
    merged: bool = False
    temperature: Annotated[float, Field(gt=0)] = 1.0
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    min_region_px: Annotated[int, Field(ge=1)] = 1
    tiles: TileParams | None = None
    roi: Roi | None = None
    filters: Filters = ()

    @property
    def outputs(self) -> dict[str, OutputSpec]:
        """The graph's outputs, in order."""
        picture = dict.fromkeys((PROBABILITIES, LOGITS), OutputSpec((len(self.classes),)))
        size = self.height, self.width
        return {**picture, REGION_MAP: OutputSpec(size, "uint8"), FOREGROUND: OutputSpec(size)}

    def check_outputs(self, outputs: Outputs) -> None:
        """Raise ContractError if a batch's outputs, of the right shapes, cannot be what they are named."""
        _check_probabilities(outputs)
        regions, foreground = outputs[REGION_MAP], outputs[FOREGROUND]
        if regions.min() < 1 or regions.max() > len(self.regions):
            raise ContractError(
                f"output '{REGION_MAP}' holds {regions.min()} to {regions.max()}, not 1 to {len(self.regions)}"
            )
        # 1e-3, as above.
        if not np.isfinite(foreground).all() or foreground.min() < -1e-3 or foreground.max() > 1 + 1e-3:
            raise ContractError(f"output '{FOREGROUND}' does not hold probabilities")

    @model_validator(mode="after")
    def _check_regions(self) -> Self:
        if len(set(self.regions)) < len(self.regions) or not all(self.regions):
            raise ValueError(f"names of regions must be unique and not empty, got {self.regions}")
        if self.merged and len(self.regions) > 1:
            raise ValueError(f"merged regions have one name, got {self.regions}")
        return self


class DetectionContract(CommonContract):
    """Which objects are in an image and where, and one class for the whole image.

    `objects[i]` names what the value `i` of the output `objects` stands for. Of each image the graph gives its
    `max_boxes` best candidates, the best first: `boxes`, float32, left, top, right and bottom in pixels of the
    network's input; `scores`, float32, in [0, 1]; and `objects`, uint8. An answer holds those whose score reaches
    `threshold`. With `merged` the one object stands for all that the data set's boxes tell apart. `probabilities` and
    `logits` are the image's, as in `ClassificationContract`.
    """

    task: Literal["detection"] = "detection"
    name: Annotated[str, Field(pattern=NAME_PATTERN)] = MODEL_NAMES["detection"]
    objects: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]
    merged: bool = False
    max_boxes: Annotated[int, Field(ge=1, le=1000)] = 100
    temperature: Annotated[float, Field(gt=0)] = 1.0
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    filters: Filters = ()

    @property
    def outputs(self) -> dict[str, OutputSpec]:
        """The graph's outputs, in order."""
        picture = dict.fromkeys((PROBABILITIES, LOGITS), OutputSpec((len(self.classes),)))
        num = self.max_boxes
        return {
            **picture,
            BOXES: OutputSpec((num, 4)),
            SCORES: OutputSpec((num,)),
            OBJECTS: OutputSpec((num,), "uint8"),
        }

    def check_outputs(self, outputs: Outputs) -> None:
        """Raise ContractError if a batch's outputs, of the right shapes, cannot be what they are named."""
        _check_probabilities(outputs)
        boxes, scores, objects = outputs[BOXES], outputs[SCORES], outputs[OBJECTS]
        if objects.max() >= len(self.objects):
            raise ContractError(f"output '{OBJECTS}' holds {objects.max()}, not 0 to {len(self.objects) - 1}")
        # 1e-3, as above.
        if not np.isfinite(scores).all() or scores.min() < -1e-3 or scores.max() > 1 + 1e-3:
            raise ContractError(f"output '{SCORES}' does not hold scores from 0 to 1")
        if not (np.diff(scores, axis=1) <= 1e-6).all():
            raise ContractError(f"output '{SCORES}' does not begin with the best")
        if not np.isfinite(boxes).all() or (boxes[..., 2:] < boxes[..., :2]).any():
            raise ContractError(f"output '{BOXES}' does not hold left, top, right and bottom")

    @model_validator(mode="after")
    def _check_objects(self) -> Self:
        if len(set(self.objects)) < len(self.objects) or not all(self.objects):
            raise ValueError(f"names of objects must be unique and not empty, got {self.objects}")
        if self.merged and len(self.objects) > 1:
            raise ValueError(f"merged objects have one name, got {self.objects}")
        return self


def _check_probabilities(outputs: Outputs) -> None:
    probs, logits = outputs[PROBABILITIES], outputs[LOGITS]
    is_finite = np.isfinite(probs).all() and np.isfinite(logits).all()
    # 1e-3: far above what float32 or float16 softmax loses, far below what raw scores would sum to.
    if not is_finite or probs.min() < 0 or not np.allclose(probs.sum(axis=1), 1, atol=1e-3):
        raise ContractError(f"output '{PROBABILITIES}' does not hold probabilities: {probs[0].tolist()}")


ModelContract = ClassificationContract | SegmentationContract | DetectionContract  # one member a task
_ADAPTER: TypeAdapter[ModelContract] = TypeAdapter(Annotated[ModelContract, Field(discriminator="task")])


def parse_contract(text: str, origin: str) -> ModelContract:
    """Read a contract of any task; `origin` names the file in the error.

    Raises ContractError if the text is not a contract of a known schema.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as exc:
        raise ContractError(f"{origin} is not a valid model contract: {exc}") from exc


def read_contract(path: Path) -> ModelContract:
    """Read `contract.json`. Raises ContractError if it is missing or malformed."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ContractError(f"cannot read the model contract {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ContractError(f"{path} is not a valid model contract: it is not UTF-8 text") from exc
    return parse_contract(text, str(path))
