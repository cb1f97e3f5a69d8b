"""Put the results of all shards together, if every picture has exactly one row: `python -m scoring.merge RUN_DIR`.

Writes `scores.parquet` and `summary.json`. What does not add up is refused by name: a shard without result, a file that
no shard has, results of another model or another list, rows that are not those of the shard.
"""

import argparse
import hashlib
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from dataset.checks import named
from project.command import command
from project.write_whole import TEMPORARY_SUFFIX, write_whole
from scoring.pictures import ScoringError
from scoring.plan import RESULTS_DIR, Plan, result_path
from scoring.results import ROW_GROUP_ROWS, SHARD_KEY, ResultFile, atomic_writer, check_result

SCORES_FILE, SUMMARY_FILE = "scores.parquet", "summary.json"


class Summary(BaseModel):
    """Counts over a whole run; `num_scored + num_errors == num_pictures`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    model_sha256: str
    num_pictures: int
    num_scored: int
    num_errors: int
    num_abstained: int
    labels: dict[str, int]
    errors: dict[str, int]


def merge(run_dir: Path) -> Summary:
    """Write the merged file and its summary. Raises ScoringError naming what does not add up."""
    plan = Plan.read(run_dir)
    files = _complete(run_dir, plan)
    schema = _common_schema(files)
    labels, errors = Counter[str](), Counter[str]()
    num_rows, num_abstained = 0, 0
    with atomic_writer(run_dir / SCORES_FILE, schema) as writer:
        for index, file in enumerate(files):
            for batch in _checked_batches(file, plan, index):
                writer.write_batch(batch.replace_schema_metadata(schema.metadata), row_group_size=ROW_GROUP_ROWS)
                num_rows += batch.num_rows
                labels.update(_counts(batch["label"]))
                errors.update(_counts(batch["error"]))
                num_abstained += batch["abstained"].to_pylist().count(True)
        summary = Summary(
            model=plan.model,
            model_sha256=plan.model_sha256,
            num_pictures=plan.num_pictures,
            num_scored=labels.total(),
            num_errors=errors.total(),
            num_abstained=num_abstained,
            labels=dict(sorted(labels.items())),
            errors=dict(sorted(errors.items())),
        )
        if not num_rows == summary.num_scored + summary.num_errors == plan.num_pictures:
            raise ScoringError(
                f"{run_dir}: {plan.num_pictures} pictures planned, {num_rows} rows found, of which "
                f"{summary.num_scored} are scored and {summary.num_errors} are errors"
            )
    write_whole(run_dir / SUMMARY_FILE, summary.model_dump_json(indent=2) + "\n")
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


def _checked_batches(file: ResultFile, plan: Plan, index: int) -> list[pa.RecordBatch]:
    """Return a shard's rows, which must be the shard's pictures in order, each with either a label or an error."""
    try:
        table = pq.read_table(file.path)
    except (OSError, pa.ArrowInvalid) as exc:
        raise ScoringError(f"{file.path} is damaged: {exc}. Remove it and score again") from exc
    digest = hashlib.sha256()
    for batch in table.to_batches():
        digest.update(b"".join(path.encode() + b"\0" for path in batch["path"].to_pylist()))
        both = zip(batch["label"].to_pylist(), batch["error"].to_pylist(), strict=True)
        if any((label is None) == (error is None) for label, error in both):
            raise ScoringError(f"{file.path} has rows with neither or both of label and error. Remove it, score again")
    if digest.hexdigest() != plan.shards[index].sha256:
        raise ScoringError(f"{file.path} has rows of other pictures than its shard. Remove it and score again")
    batches: list[pa.RecordBatch] = table.to_batches()
    return batches


def _counts(column: pa.Array) -> dict[str, int]:
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
