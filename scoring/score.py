"""Score shards of a planned run: `python -m scoring.score RUN_DIR --task 0 --tasks 4`.

Task i of n takes the shards i, i + n, i + 2n, ... that have no result yet; each is written whole or not at all, so a
task that was killed is simply run again. `slurm/score.sbatch` runs one task for every index of a job array.
"""

import argparse
import json
import logging
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from project.command import UsageError, command
from runtime.model.session import Predictor
from scoring.data_mount import DataMount
from scoring.pictures import ScoringError
from scoring.pipeline import KNOWN_ERRORS, UNREADABLE, Scorer
from scoring.plan import Plan, read_shard, result_path
from scoring.results import ResultFile, atomic_writer, check_result
from scoring.rows import in_groups, schema_of, to_batch

logger = logging.getLogger(__name__)


def load_scorer(plan: Plan, batch_size: int = 0, num_workers: int = 0) -> Scorer:
    """Load the model that the plan names. Raises ScoringError if the one there is not the planned one any more."""
    predictor = Predictor.load(Path(plan.model_dir), sessions=0)
    if predictor.contract.task != plan.task:
        raise ScoringError(
            f"the model in {plan.model_dir} is of {predictor.contract.task}, but the run was planned with one of "
            f"{plan.task}. Plan a new run for it: python -m scoring.shard ... --task {predictor.contract.task}"
        )
    if predictor.sha256 != plan.model_sha256:
        raise ScoringError(
            f"the model in {plan.model_dir} is {predictor.sha256[:12]}, but the run was planned with "
            f"{plan.model_sha256[:12]}. Plan a new run for it"
        )
    predictor.warm_up()
    return Scorer.of(predictor, plan.model, batch_size, num_workers)


def is_done(run_dir: Path, plan: Plan, index: int) -> bool:
    """Tell whether a shard has its result. Raises ScoringError if the file there is damaged or not of this plan."""
    path = result_path(run_dir, index)
    if not path.is_file():
        return False
    check_result(ResultFile.open(path), plan, index)
    return True


def score_shard(run_dir: Path, plan: Plan, index: int, scorer: Scorer, allow_unreadable: bool = False) -> int:
    """Score one shard and return how many of its pictures could not be.

    allow_unreadable: whether it may be that not one of them can be read. Raises ScoringError, and writes nothing, where
    it seems to be this node that cannot read them.
    """
    shard = plan.shards[index]
    paths = read_shard(run_dir, index, shard)
    schema = schema_of(scorer.predictor.contract, plan.model_sha256, shard.sha256)
    mount = DataMount.of(Path(plan.root), paths)
    num_errors = num_unreadable = 0
    with atomic_writer(result_path(run_dir, index), schema) as writer:
        for group in in_groups(scorer.score(mount.root, paths)):
            num_errors += sum(row.error is not None for row in group)
            num_unreadable += sum(row.error == UNREADABLE for row in group)
            writer.write_batch(to_batch(group, schema))
        mount.refuse_if_lost(num_unreadable, len(paths), allow_unreadable)
    return num_errors


@dataclass(frozen=True)
class Timing:
    """When a task scored, in seconds since 1970, without loading the model, and how many pictures."""

    started: float
    ended: float
    num_pictures: int


def run(
    run_dir: Path, task: int, num_tasks: int, batch_size: int, num_workers: int, allow_unreadable: bool = False
) -> Timing | None:
    """Score every shard of one task that is not done yet; None if all are. Raises one of KNOWN_ERRORS."""
    plan = Plan.read(run_dir)
    mine = range(task, len(plan.shards), num_tasks)
    todo = [index for index in mine if not is_done(run_dir, plan, index)]
    logger.info("task %d of %d: %d of its %d shards to do", task, num_tasks, len(todo), len(mine))
    if not todo:
        return None
    scorer = load_scorer(plan, batch_size, num_workers)
    started = time.time()
    for index in todo:
        start = time.perf_counter()
        num_errors = score_shard(run_dir, plan, index, scorer, allow_unreadable)
        took_s = time.perf_counter() - start
        num = plan.shards[index].num_pictures
        logger.info("shard %05d: %d pictures, %d errors, %.1f pictures/s", index, num, num_errors, num / took_s)
    return Timing(started, time.time(), sum(plan.shards[index].num_pictures for index in todo))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_dir", type=Path, help="folder that scoring.shard made")
    parser.add_argument("--task", type=int, default=0, help="0 to tasks - 1")
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=0, help="0: 8 on a CPU, 64 on a GPU")
    parser.add_argument("--workers", type=int, default=0, help="threads; 0: one a core and one more")
    parser.add_argument("--timing", type=Path, help="JSON file to write: when this task scored and how many pictures")
    parser.add_argument(
        "--allow-unreadable", action="store_true", help="write a shard's rows even if not one picture can be read"
    )


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.task < arguments.tasks:
        raise UsageError(
            f"task {arguments.task} of {arguments.tasks}: tasks count from 0. A job array must be 0-(n-1); to do what "
            "is left, submit all of it again: shards that are done are passed over"
        )
    timing = run(
        arguments.run_dir, arguments.task, arguments.tasks, arguments.batch_size, arguments.workers,
        arguments.allow_unreadable,
    )  # fmt: skip
    if arguments.timing and timing:
        arguments.timing.write_text(json.dumps(asdict(timing)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
