"""One row a picture, and its columns: what the service would answer, in Arrow's types.

Columns: `path`; `label`, `class_id`, `probability`, `probability.<class>` for every class and `abstained`, null where
the picture could not be scored; of segmentation also `width`, `height`, `num_regions` and `regions`, a list of structs
with the fields of `runtime.answers.segmentation.Region`; of detection `width`, `height`, `num_detections` and
`detections`, with those of `runtime.answers.detection.Detection`, which has no mask here; `error` (a stable code) and
`message`, null where it could be scored; `model_sha256`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from runtime.answers.detection import Detections
from runtime.answers.results import Prediction
from runtime.answers.segmentation import Segmentation
from runtime.model.contract import ModelContract, Task
from scoring.results import MODEL_KEY, ROW_GROUP_ROWS, SHARD_KEY

# Of regions that wait to be written: pictures of noise have megabytes of run lengths each. Every region, and every box,
# counts as so much beside its run lengths, which is about what its Python objects take.
GROUP_BYTES, REGION_BYTES = 32 * 2**20, 2048

_BOX = pa.struct([pa.field(side, pa.int32(), nullable=False) for side in ("left", "top", "right", "bottom")])
_MASK = pa.struct(
    [
        pa.field("size", pa.list_(pa.int32()), nullable=False),
        pa.field("counts", pa.string(), nullable=False),
    ]
)
_REGION = pa.struct(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("class_id", pa.int32(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("box", _BOX, nullable=False),
        pa.field("area_px", pa.int64(), nullable=False),
        pa.field("area_share", pa.float64(), nullable=False),
        pa.field("mask", _MASK, nullable=False),
    ]
)
_DETECTED_BOX = pa.struct([pa.field(side, pa.float64(), nullable=False) for side in ("x1", "y1", "x2", "y2")])
_DETECTION = pa.struct(
    [
        pa.field("box", _DETECTED_BOX, nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("class_id", pa.int32(), nullable=False),
        pa.field("class_name", pa.string(), nullable=False),
    ]
)
REGIONS, DETECTIONS = "regions", "detections"
# The column of what is found in a picture, of tasks that find something, and which of its fields says what it is.
FOUND: dict[Task, tuple[str, str]] = {"segmentation": (REGIONS, "label"), "detection": (DETECTIONS, "class_name")}
_SIZE = {"width": pa.int32(), "height": pa.int32()}
_OF_TASK: dict[Task, dict[str, pa.DataType]] = {
    "classification": {},
    "segmentation": {**_SIZE, f"num_{REGIONS}": pa.int32(), REGIONS: pa.list_(_REGION)},
    "detection": {**_SIZE, f"num_{DETECTIONS}": pa.int32(), DETECTIONS: pa.list_(_DETECTION)},
}


@dataclass(frozen=True)
class Row:
    """What became of one picture: a prediction, or an error code with a message."""

    path: str
    prediction: Prediction | None = None
    error: str | None = None
    message: str | None = None


def schema_of(contract: ModelContract, model_sha256: str, shard_sha256: str = "") -> pa.Schema:
    """Return the columns of a result of that model; which model and shard it is of is in the schema's metadata."""
    fields = [
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("class_id", pa.int32()),
        pa.field("probability", pa.float32()),
        *(pa.field(f"probability.{name}", pa.float32()) for name in contract.classes),
        pa.field("abstained", pa.bool_()),
        *(pa.field(name, kind) for name, kind in _OF_TASK[contract.task].items()),
        pa.field("error", pa.string()),
        pa.field("message", pa.string()),
        pa.field("model_sha256", pa.string(), nullable=False),
    ]
    return pa.schema(fields, {MODEL_KEY: model_sha256.encode(), SHARD_KEY: shard_sha256.encode()})


def in_groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield rows in order, as many at a time as one row group holds: ROW_GROUP_ROWS, or fewer if many are found.

    Where a group ends depends on the rows alone, so that the same rows give the same file.
    """
    group: list[Row] = []
    num_bytes = 0
    for row in rows:
        group.append(row)
        num_bytes += _found_bytes(row)
        if len(group) == ROW_GROUP_ROWS or num_bytes >= GROUP_BYTES:
            yield group
            group, num_bytes = [], 0
    if group:
        yield group


def _found_bytes(row: Row) -> int:
    if isinstance(row.prediction, Detections):
        return len(row.prediction.detections) * REGION_BYTES
    regions = row.prediction.regions if isinstance(row.prediction, Segmentation) else []
    return sum(len(region.mask.counts) + REGION_BYTES for region in regions)


def to_batch(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    """Return rows as a batch of the schema's columns."""
    model = schema.metadata[MODEL_KEY].decode()
    return pa.RecordBatch.from_pylist([_to_record(row, model) for row in rows], schema=schema)


def _to_record(row: Row, model_sha256: str) -> dict[str, Any]:
    record: dict[str, Any] = {
        "path": row.path,
        "error": row.error,
        "message": row.message,
        "model_sha256": model_sha256,
    }
    if row.prediction is None:
        return record
    prediction = row.prediction
    record |= {f"probability.{name}": value for name, value in prediction.probabilities.items()}
    if isinstance(prediction, Segmentation):
        record |= prediction.model_dump(include=set(_OF_TASK["segmentation"]))
    elif isinstance(prediction, Detections):
        unmasked = {DETECTIONS: {"__all__": {"mask_rle"}}}
        record |= prediction.model_dump(include=set(_OF_TASK["detection"]), exclude=unmasked)
        record[f"num_{DETECTIONS}"] = len(prediction.detections)
    return record | {
        "label": prediction.label,
        "class_id": prediction.class_id,
        "probability": prediction.probability,
        "abstained": prediction.abstained,
    }
