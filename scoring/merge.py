"""Put the results of all shards together, if every picture has exactly one row: `python -m scoring.merge RUN_DIR`.

Writes `scores.parquet` and `summary.json`. What does not add up is refused by name: a shard without result, a file that
no shard has, results of another model or another list, rows that are not those of the shard.
"""

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from dataset.checks import named
from project.command import command
from project.write_whole import TEMPORARY_SUFFIX, write_whole
from scoring.pictures import ScoringError
from scoring.plan import RESULTS_DIR, Plan, result_path
from scoring.results import ROW_GROUP_ROWS, SHARD_KEY, ResultFile, atomic_writer, check_result
from scoring.rows import FOUND

SCORES_FILE, SUMMARY_FILE = "scores.parquet", "summary.json"


class Summary(BaseModel):
    """Counts over a whole run; `num_scored + num_errors == num_pictures`.

    Of segmentation also the pictures with regions, and the regions of each class as the rows list them; of detection
    the same of detections.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    model_sha256: str
    num_pictures: int
    num_scored: int
    num_errors: int
    num_abstained: int
    labels: dict[str, int]
    errors: dict[str, int]
    num_with_regions: int | None = None
    regions: dict[str, int] | None = None
    num_with_detections: int | None = None
    detections: dict[str, int] | None = None


@dataclass
class _Counts:
    """What has been counted so far."""

    num_rows: int = 0
    num_abstained: int = 0
    num_with_any: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)

    def add(self, batch: pa.RecordBatch) -> None:
        self.num_rows += batch.num_rows
        self.labels.update(_values(batch["label"]))
        self.errors.update(_values(batch["error"]))
        self.num_abstained += _values(batch["abstained"]).get(True, 0)
        for column, name in FOUND.values():
            if column in batch.schema.names:
                num_found = pc.list_value_length(batch[column]).fill_null(0)
                self.num_with_any += pc.sum(pc.greater(num_found, 0), min_count=0).as_py()
                self.found.update(_values(pc.struct_field(pc.list_flatten(batch[column]), name)))

    def summary(self, plan: Plan) -> Summary:
        summary = Summary(
            model=plan.model,
            model_sha256=plan.model_sha256,
            num_pictures=plan.num_pictures,
            num_scored=self.labels.total(),
            num_errors=self.errors.total(),
            num_abstained=self.num_abstained,
            labels=dict(sorted(self.labels.items())),
            errors=dict(sorted(self.errors.items())),
        )
        if plan.task not in FOUND:
            return summary
        column, _ = FOUND[plan.task]
        found = {f"num_with_{column}": self.num_with_any, column: dict(sorted(self.found.items()))}
        return summary.model_copy(update=found)


def merge(run_dir: Path) -> Summary:
    """Write the merged file and its summary. Raises ScoringError naming what does not add up."""
    plan = Plan.read(run_dir)
    files = _complete(run_dir, plan)
    schema = _common_schema(files)
    counts = _Counts()
    with atomic_writer(run_dir / SCORES_FILE, schema) as writer:
        for index, file in enumerate(files):
            for batch in _checked_batches(file, plan, index):
                writer.write_batch(batch.replace_schema_metadata(schema.metadata), row_group_size=ROW_GROUP_ROWS)
                counts.add(batch)
        summary = counts.summary(plan)
        if not counts.num_rows == summary.num_scored + summary.num_errors == plan.num_pictures:
            raise ScoringError(
                f"{run_dir}: {plan.num_pictures} pictures planned, {counts.num_rows} rows found, of which "
                f"{summary.num_scored} are scored and {summary.num_errors} are errors"
            )
    write_whole(run_dir / SUMMARY_FILE, summary.model_dump_json(indent=2, exclude_none=True) + "\n")
    for leftover in (run_dir / RESULTS_DIR).glob(f"*{TEMPORARY_SUFFIX}"):  # of tasks that were killed
        leftover.unlink(missing_ok=True)
    return summary


def _complete(run_dir: Path, plan: Plan) -> list[ResultFile]:
    """Return the results in the plan's order. Raises ScoringError if one is missing, foreign or of another plan."""
    expected = [result_path(run_dir, index) for index in range(len(plan.shards))]
    present = {path for path in (run_dir / RESULTS_DIR).iterdir() if path.suffix != TEMPORARY_SUFFIX}
    foreign = sorted(path.name for path in present - set(expected))
    if foreign:
        raise ScoringError(
            f"{run_dir / RESULTS_DIR} holds file(s) of no shard of this plan: {named(foreign)}. Remove them"
        )
    missing = [path.stem for path in expected if path not in present]
    if missing:
        raise ScoringError(
            f"{len(missing)} of {len(expected)} shard(s) have no result: {named(missing)}. "
            f"Run python -m scoring.score {run_dir} again: what is done is passed over"
        )
    files = [ResultFile.open(path) for path in expected]
    for index, file in enumerate(files):
        check_result(file, plan, index)
    return files


def _common_schema(files: list[ResultFile]) -> pa.Schema:
    first = pq.read_schema(files[0].path)
    for file in files[1:]:
        if not pq.read_schema(file.path).equals(first):
            raise ScoringError(f"{file.path} has other columns than {files[0].path}. Remove it and score again")
    return first.with_metadata({**first.metadata, SHARD_KEY: b""})


def _checked_batches(file: ResultFile, plan: Plan, index: int) -> Iterator[pa.RecordBatch]:
    """Yield a shard's rows, one row group at a time: the shard's pictures in order, each with a label or an error.

    Raises ScoringError where they are not, at the latest after the last: write whole what is made of them.
    """
    digest = hashlib.sha256()
    for batch in _row_groups(file):
        digest.update(b"".join(path.encode() + b"\0" for path in batch["path"].to_pylist()))
        is_error = batch["error"].is_valid()
        for column in ("label", *(name for name, _ in FOUND.values())):
            if column in batch.schema.names and pc.any(pc.equal(batch[column].is_valid(), is_error)).as_py():
                raise ScoringError(
                    f"{file.path} has rows with neither or both of {column} and error. Remove it, score again"
                )
        yield batch
    if digest.hexdigest() != plan.shards[index].sha256:
        raise ScoringError(f"{file.path} has rows of other pictures than its shard. Remove it and score again")


def _row_groups(file: ResultFile) -> Iterator[pa.RecordBatch]:
    """Yield a file's row groups, of which one at a time is in memory."""
    try:
        with pq.ParquetFile(file.path) as parquet:
            for number in range(parquet.num_row_groups):
                yield from parquet.read_row_group(number).combine_chunks().to_batches()
    except (OSError, pa.ArrowInvalid) as exc:
        raise ScoringError(f"{file.path} is damaged: {exc}. Remove it and score again") from exc


def _values(column: pa.Array) -> dict[Any, int]:
    """Return how often each value is there; null is none."""
    return {item["values"]: item["counts"] for item in column.drop_null().value_counts().to_pylist()}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_dir", type=Path)


@command(_arguments, known=(ScoringError, OSError))
def main(arguments: argparse.Namespace) -> None:
    summary = merge(arguments.run_dir)
    kinds = ", ".join(f"{number} {code}" for code, number in summary.errors.items())
    sys.stdout.write(
        f"{summary.num_pictures} pictures: {summary.num_scored} scored, {summary.num_errors} errors"
        f"{f' ({kinds})' if kinds else ''} -> {arguments.run_dir / SCORES_FILE}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
