"""The Parquet files of scores: one row a picture, written whole or not at all.

Columns: `path`; `label`, `class_id`, `probability`, `probability.<class>` for every class and `abstained`, null where
the picture could not be scored; `error` (a stable code) and `message`, null where it could; `model_sha256`. The same
input gives the same bytes: nothing in a file depends on when or where it was written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from project.write_whole import whole_file
from runtime.answers.results import Prediction
from scoring.pictures import ScoringError
from scoring.plan import Plan

MODEL_KEY, SHARD_KEY = b"vision.model_sha256", b"vision.shard_sha256"
ROW_GROUP_ROWS = 8192


@dataclass(frozen=True)
class Row:
    """What became of one picture: a prediction, or an error code with a message."""

    path: str
    prediction: Prediction | None = None
    error: str | None = None
    message: str | None = None


def schema_of(classes: tuple[str, ...], model_sha256: str, shard_sha256: str = "") -> pa.Schema:
    fields = [
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("class_id", pa.int32()),
        pa.field("probability", pa.float32()),
        *(pa.field(f"probability.{name}", pa.float32()) for name in classes),
        pa.field("abstained", pa.bool_()),
        pa.field("error", pa.string()),
        pa.field("message", pa.string()),
        pa.field("model_sha256", pa.string(), nullable=False),
    ]
    return pa.schema(fields, {MODEL_KEY: model_sha256.encode(), SHARD_KEY: shard_sha256.encode()})


def to_batch(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
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
    return record | {
        "label": prediction.label,
        "class_id": prediction.class_id,
        "probability": prediction.probability,
        "abstained": prediction.abstained,
    }


@contextmanager
def atomic_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Write a Parquet file whole or not at all."""
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        yield writer


@dataclass(frozen=True)
class ResultFile:
    """What a result file says of itself."""

    path: Path
    num_rows: int
    model_sha256: str
    shard_sha256: str

    @classmethod
    def open(cls, path: Path) -> "ResultFile":
        """Read the footer. Raises ScoringError if the file is damaged or none of ours."""
        try:
            found = pq.read_metadata(path)
        except (OSError, pa.ArrowInvalid) as exc:
            raise ScoringError(f"{path} is damaged: {exc}. Remove it and score again: only its shard is done") from exc
        metadata = found.metadata or {}
        if MODEL_KEY not in metadata or SHARD_KEY not in metadata:
            raise ScoringError(f"{path} was not written by scoring.score; remove it")
        return cls(path, found.num_rows, metadata[MODEL_KEY].decode(), metadata[SHARD_KEY].decode())


def check_result(found: ResultFile, plan: Plan, index: int) -> None:
    """Refuse a result of another model or another list. Raises ScoringError naming the file."""
    shard = plan.shards[index]
    if found.model_sha256 != plan.model_sha256:
        raise ScoringError(
            f"{found.path} was scored by the model {found.model_sha256[:12]}, this run is of "
            f"{plan.model_sha256[:12]}. Remove the file or plan a run of its own"
        )
    if found.shard_sha256 != shard.sha256 or found.num_rows != shard.num_pictures:
        raise ScoringError(
            f"{found.path} holds other pictures than the plan's shard {index}. Remove it and score again"
        )
