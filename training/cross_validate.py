"""Train on every fold but one and predict that one, for all folds and seeds: `python -m training.cross_validate`.

Writes to `--out`: `seed<S>/<protocol><F>/` with the checkpoint and `predictions.csv` of each run,
`seed<S>/<protocol>.csv` with the pooled out-of-fold predictions of a seed, and `summary.json` and `summary.md` with the
figures of each seed, their mean, and those of all seeds' models voting. Of detection a run has its `boxes/`, too,
of segmentation its `maps/`; the summary then says how well each seed's folds find every object or outline every
region, and all seeds' together. A run whose predictions are there is not repeated, and one that was asked to leave
(exit status 75) goes on where it was; other params, data or folds need another `--out`.

By group, the folds are those of `split.seed` and `split.num_folds`; what is pooled covers every picture once. By
image, each seed draws one split of 15% for validation, 15% for test (`--test-share` states another share) and the
rest for training, as is usual for published figures: it leaks where an object has several pictures. Segmentation and
detection without early stopping choose no epoch on validation pictures, so these train as well, by group and by image.
"""

import argparse
import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from dataset.description import find_description
from dataset.manifest import SPLIT_COLUMNS, Manifest, ManifestError, Protocol
from dataset.outputs.tasks import ARTIFACTS, add_task_option, manifest_of
from dataset.params import SplitParams
from dataset.splits import FoldArray, assign_fold, deal_folds, sorted_by_path
from dataset.splitting.divide import number_folds
from dataset.splitting.memory import Memory
from evaluation.document import EvaluationError
from evaluation.params import EvaluateParams
from evaluation.predictions import PREDICTIONS_FILE, PredictionsError
from project.command import command
from project.params import ParamsError, add_params_option, read_section
from training.fit import fit
from training.params import Params
from training.process.determinism import deterministic
from training.process.distributed import Worker
from training.process.exit_status import exit_status
from training.process.signals import LeaveRequest
from training.run.checkpoint import Checkpoint
from training.run.known_errors import KNOWN_ERRORS
from training.run.run_control import RunControl
from training.sweeps.cross_validation_summary import write_summary
from training.tasks import TASKS
from training.tasks.prediction import FOUND_DIRS, predict

RUN_FILE = "run.json"
VAL_SHARE = TEST_SHARE = 0.15  # of all pictures, by image
MAX_TEST_SHARE = 0.5
ENOUGH_FOR_IMAGES = 8  # 15% round down to 1 of 8 for test, and then to 1 of the 6 or 7 left for validation
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """One run: a table whose splits say what trains and what is predicted."""

    seed: int
    index: int
    table: pd.DataFrame


def group_folds(
    table: pd.DataFrame, params: SplitParams, seed: int, keeps_val: bool, folds: FoldArray | None = None
) -> Iterator[Fold]:
    """Yield every fold as the test side once; the others train, less one for validation if `keeps_val`.

    folds: of every picture in the order of paths; dealt anew if None.
    """
    for index in range(params.num_folds):
        divided = assign_fold(table, params.model_copy(update={"test_fold": index}), folds)
        if not keeps_val:
            divided["split"] = divided["split"].replace({"val": "train"})
        yield Fold(seed, index, divided)


def remembered_folds(pictures: Manifest, params: SplitParams) -> FoldArray | None:
    """Return the fold of every picture in the order of paths; None where `make data` remembers none beside them.

    Pictures that were there before keep theirs. Raises ManifestError for a memory that is malformed.
    """
    memory = Memory.read(pictures.root, params)
    if memory is None:
        return None
    description = find_description(pictures.root)
    is_stated = description is None or not description.likeness
    table = sorted_by_path(pictures.table)
    return number_folds(table, params, memory.recall(table, has_stated_groups=is_stated))


def image_split(table: pd.DataFrame, seed: int, keeps_val: bool, test_share: float = TEST_SHARE) -> Fold:
    """Return one stratified split of the pictures by the shares above, whatever object they show.

    Without `keeps_val` the pictures for validation train as well. Raises ManifestError if a class has too few pictures
    to be on every side.
    """
    divided = table.sort_values("path", ignore_index=True)
    sides = np.full(len(divided), "train", dtype=object)
    val_share = VAL_SHARE / (1 - test_share)
    try:
        rest, test = train_test_split(
            np.arange(len(divided)), test_size=test_share, stratify=divided["label"], random_state=seed
        )
        _, val = train_test_split(rest, test_size=val_share, stratify=divided["label"].iloc[rest], random_state=seed)
    except ValueError as exc:  # scikit-learn names no class
        raise ManifestError(_too_few(divided["label"].value_counts())) from exc
    sides[test] = "test"
    if keeps_val:
        sides[val] = "val"
    divided["split_by_image"] = sides
    counts = pd.crosstab(divided["label"], divided["split_by_image"])
    absent = counts.index[(counts == 0).any(axis=1)]
    if len(absent):
        raise ManifestError(_too_few(divided["label"].value_counts()[absent]))
    return Fold(seed, 0, divided)


def _too_few(num_pictures: "pd.Series[int]") -> str:
    """Say which of the classes are too small for a split by image; num_pictures: of each class."""
    small = num_pictures[num_pictures < ENOUGH_FOR_IMAGES].sort_index()
    listed = ", ".join(f"{label} ({number} picture(s))" for label, number in small.items())
    return (
        f"too few pictures to have each class for training, validation and test by image: {listed}. Add pictures "
        f"({ENOUGH_FOR_IMAGES} of a class are always enough), leave the class out, or take --protocol group"
    )


def run_fold(
    fold: Fold, root: Path, protocol: Protocol, params: Params, out_dir: Path, this: Worker, leaving: LeaveRequest
) -> None:
    """Train and predict one fold, unless its predictions are there already; `run.json` holds what it cost."""
    if (out_dir / PREDICTIONS_FILE).is_file():
        logger.info("%s is there already", out_dir / PREDICTIONS_FILE)
        return
    start_wall_s, start_cpu_s = time.monotonic(), time.process_time()
    params = params.model_copy(update={"train": params.train.model_copy(update={"seed": fold.seed})})
    manifest = Manifest(fold.table, root)
    with deterministic(params.train.deterministic, this.device):
        checkpoint_path = fit(manifest, protocol, params, RunControl(out_dir), this, leaving)
    if this.is_main:
        cost = {"wall_s": time.monotonic() - start_wall_s, "cpu_s": time.process_time() - start_cpu_s}
        (out_dir / RUN_FILE).write_text(json.dumps(cost, indent=2) + "\n", encoding="utf-8")
        found_dir = out_dir / FOUND_DIRS[params.task] if params.task in FOUND_DIRS else None
        found = predict(manifest, protocol, Checkpoint.load(checkpoint_path), ("test",), found_dir)
        found.write(out_dir / PREDICTIONS_FILE)
    this.broadcast("")


def run(arguments: argparse.Namespace, this: Worker, leaving: LeaveRequest) -> None:
    """Run all that is asked for, then pool and sum up what is there. Raises Requeue after `leaving`."""
    params = Params.read(arguments.params, arguments.task)
    manifest = Manifest.read(_pictures(arguments.pictures, params))
    split = read_section(arguments.params, "split", SplitParams)
    description = find_description(manifest.root)
    normal_class = description.normal_class if description else ""
    if normal_class and normal_class not in manifest.classes:
        raise ManifestError(
            f"the data call {normal_class!r} normal, but have no such class: run python -m dataset.load"
        )
    out_dir: Path = arguments.out or ARTIFACTS[arguments.task] / "cross_validation"
    folds = remembered_folds(manifest, split)  # once, as `make data` may be run while the first seeds train
    _check_same_run(out_dir, manifest, params, split, arguments.test_share, folds, this)
    # Where nothing is chosen on validation pictures, they may train as well.
    keeps_val = TASKS[params.task].chooses(params)
    for seed in arguments.seeds:
        if arguments.protocol == "image":
            rounds: Iterator[Fold] = iter([image_split(manifest.table, seed, keeps_val, arguments.test_share)])
        else:
            rounds = group_folds(manifest.table, split, seed, keeps_val, folds)
        for fold in rounds:
            if arguments.folds and fold.index not in arguments.folds:
                continue
            logger.info("seed %d, %s fold %d", seed, arguments.protocol, fold.index)
            fold_dir = out_dir / f"seed{seed}" / f"{arguments.protocol}{fold.index}"
            run_fold(fold, manifest.root, arguments.protocol, params, fold_dir, this, leaving)
    if this.is_main:
        evaluate = read_section(arguments.params, "evaluate", EvaluateParams)
        logger.info("%s", write_summary(out_dir, split.num_folds, evaluate, normal_class, manifest, params.task))


def _pictures(stated: Path | None, params: Params) -> Path:
    """Return the list of all pictures. Raises ParamsError where it has crops that nobody is to be tested on."""
    if params.crops and params.crops.jittered and params.crops.jitter:
        raise ParamsError(
            f"crops.jittered is {params.crops.jittered}: folds would be measured on crops of moved boxes, too. Set it "
            "to 0 and run python -m dataset.crops.cut again"
        )
    return stated or (manifest_of("crop-classification") if params.crops else Path("data/pictures.csv"))


def _check_same_run(
    out_dir: Path, manifest: Manifest, params: Params, split: SplitParams, test_share: float,
    folds: FoldArray | None, this: Worker,
) -> None:  # fmt: skip
    """Refuse to go on in a folder whose folds were others, or were trained on other data or with other params."""
    facts = {"params": params.model_dump(mode="json"), "split": split.model_dump(mode="json")}
    if test_share != TEST_SHARE:
        facts["test_share"] = {"of_images": test_share}
    pictures = (
        manifest.data_of(params.task).drop(columns=list(SPLIT_COLUMNS.values())).sort_values("path").to_csv(index=False)
    )
    facts["pictures"] = {"sha256": hashlib.sha256(pictures.encode()).hexdigest()}
    if folds is not None and (folds != deal_folds(sorted_by_path(manifest.table), split)).any():
        facts["folds"] = {"sha256": hashlib.sha256(folds.tobytes()).hexdigest()}
    path = out_dir / "cross_validation.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != facts:
        raise ManifestError(
            f"{out_dir} holds folds of other params, data or division: choose another --out, or remove it"
        )
    this.broadcast("")  # all have looked before one writes
    if this.is_main:
        out_dir.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _test_share(text: str) -> float:
    """Read a share of the pictures for test. Raises ArgumentTypeError for one that leaves a side too few."""
    try:
        share = float(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from exc
    if not TEST_SHARE <= share <= MAX_TEST_SHARE:
        raise argparse.ArgumentTypeError(f"{text} is not between {TEST_SHARE} and {MAX_TEST_SHARE}")
    return share


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=Path, help="data/pictures.csv, or the crops' manifest")
    add_params_option(parser)
    add_task_option(parser)
    parser.add_argument("--out", type=Path, help="artifacts/cross_validation, or that of the task")
    parser.add_argument("--protocol", choices=("group", "image"), default="group")
    parser.add_argument(
        "--test-share", type=_test_share, default=TEST_SHARE, metavar="SHARE",
        help=f"share of the pictures for test, by image; {TEST_SHARE} if left out",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, nargs="+", help="only these, to share the work out; all if left out")


@command(_arguments, logs_to="nothing")
def main(arguments: argparse.Namespace) -> int:
    return exit_status("cross-validation", (*KNOWN_ERRORS, PredictionsError, EvaluationError), partial(run, arguments))


if __name__ == "__main__":
    sys.exit(main())
