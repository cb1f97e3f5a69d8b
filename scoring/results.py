"""The Parquet files of scores: one row a picture (`scoring/rows.py`), written whole or not at all.

The same input gives the same bytes: nothing in a file depends on when or where it was written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from project.write_whole import whole_file
from scoring.pictures import ScoringError
from scoring.plan import Plan

MODEL_KEY, SHARD_KEY = b"vision.model_sha256", b"vision.shard_sha256"
ROW_GROUP_ROWS = 8192


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
