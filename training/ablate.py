"""Compare ways to train, several seeds each: `python -m training.ablate augmentation`, `training` or `backbones`.

Every arm has the epochs of `params.yaml` and is judged on the validation split. What is done is kept: the same command
goes on after a stop. Writes `table.csv`, `table.md`, `plot.png` to `artifacts/ablations/<name>`: docs/ABLATIONS.md.
"""

import argparse
import hashlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dataset.manifest import Manifest, ManifestError
from dataset.params import PARAMS_FILE, ParamsError
from evaluation.predictions import Predictions
from evaluation.statistics.metrics import confusion_matrix, metrics_of_confusion
from training.params import Params
from training.sweeps.ablation_table import Row, write_tables
from training.sweeps.ablations import ABLATIONS, Arm, Document
from training.sweeps.child_run import (
    CHILD_LOG,
    DEATH_SIGNAL,
    last_words,
    read_log,
    start_child,
    start_training,
    stop_child,
)

EXPLAINED = 2  # exit status of a run that has said what is wrong
RESULT_FILE = "result.json"
logger = logging.getLogger(__name__)


class AblationError(RuntimeError):
    """A run that broke; its log is named."""


Result = dict[str, Any]
KNOWN_ERRORS = (AblationError, ManifestError, ParamsError)


@dataclass(frozen=True)
class Ablation:
    """What one call compares and where it keeps the runs."""

    arms: tuple[Arm, ...]
    document: Document
    manifest_path: Path
    out_dir: Path
    num_seeds: int
    shows_test: bool = False

    def run(self) -> Iterator[list[Row]]:
        """Train what is not yet trained; yield a row for each arm, in order, after every seed."""
        data_sha256 = Manifest.read(self.manifest_path).sha256
        self._check()
        rows = [Row(arm.name) for arm in self.arms]
        for seed in range(self.num_seeds):
            for arm, row in zip(self.arms, rows, strict=True):
                if row.reason:
                    continue
                row.reason = self._measure(arm, seed, data_sha256, row)
                if row.reason:
                    logger.info("%s: not measured: %s", arm.name, row.reason)
            yield rows

    def _check(self) -> None:
        """Read every arm's params as training would, before the first run."""
        for arm in self.arms:
            path = self._folder(arm, 0) / "params.yaml"
            _write_params(path, arm.params(self.document, 0))
            Params.read(path)

    def _folder(self, arm: Arm, seed: int) -> Path:
        return self.out_dir / arm.folder / f"seed-{seed}"

    def _measure(self, arm: Arm, seed: int, data_sha256: str, row: Row) -> str:
        """Add one run's figures to the row, training if need be; return why there are none, or nothing."""
        folder = self._folder(arm, seed)
        params = arm.params(self.document, seed)
        identity = hashlib.sha256(json.dumps([params, data_sha256], sort_keys=True).encode()).hexdigest()
        result = _read_result(folder, identity)
        if result is None:
            shutil.rmtree(folder, ignore_errors=True)  # what other params or data left there
            _write_params(folder / "params.yaml", params)
            start = time.monotonic()
            child = start_training(folder / "params.yaml", self.manifest_path, folder)
            try:
                status = child.wait()
            finally:
                stop_child(child)
            if status == EXPLAINED:
                return last_words(folder).removeprefix("training: ")
            if status:
                raise AblationError(f"'{arm.name}', seed {seed} ended with status {status}: see {folder / CHILD_LOG}")
            result = {"identity": identity, "seconds": time.monotonic() - start, **_best_epoch(folder)}
            _write_result(folder, result)
            logger.info("%s, seed %d: macro-F1 %.4f on val", arm.name, seed, result["val_macro_f1"])
        if self.shows_test and "test_macro_f1" not in result:
            result |= self._test(folder)
            _write_result(folder, result)
        shown = {name: value for name, value in result.items() if isinstance(value, float)}
        row.add({name: value for name, value in shown.items() if self.shows_test or not name.startswith("test_")})
        return ""

    def _test(self, folder: Path) -> dict[str, float]:
        """Predict the test split with the run's checkpoint, in a process of its own."""
        from training.run.fit import CHECKPOINT_FILE  # imports PyTorch: seconds that no other call needs

        files = ["--manifest", str(self.manifest_path), "--checkpoint", str(folder / CHECKPOINT_FILE)]
        out = folder / "predictions.csv"
        child = start_child(DEATH_SIGNAL, ["training.predict", *files, "--out", str(out)], folder / "predict.log")
        try:
            status = child.wait()
        finally:
            stop_child(child)
        if status:
            raise AblationError(f"training.predict ended with status {status}: see {folder / 'predict.log'}")
        test = Predictions.read(out).select("test")
        confusion = confusion_matrix(test.labels, test.predicted, len(test.classes))
        figures = metrics_of_confusion(confusion).headline()
        return {f"test_{name}": figures[name] for name in ("macro_f1", "accuracy")}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=ABLATIONS)
    parser.add_argument("--params", type=Path, default=PARAMS_FILE)
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/ablations"))
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm")
    parser.add_argument("--test", action="store_true", help="show the test split too, once, when all is decided")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {arguments.seeds}")
    try:
        Params.read(arguments.params).require_linear_head("training.ablate")  # of masks only the last epoch is measured
        document = yaml.safe_load(arguments.params.read_text(encoding="utf-8"))
        out_dir = arguments.out / arguments.name
        arms = ABLATIONS[arguments.name]
        markdown = ""
        for rows in Ablation(arms, document, arguments.manifest, out_dir, arguments.seeds, arguments.test).run():
            markdown = write_tables(arguments.name, rows, out_dir)  # after every seed, for whoever stops it
    except KNOWN_ERRORS as exc:
        sys.stderr.write(f"ablate: {exc}\n")
        return 2
    sys.stdout.write(markdown)
    return 0


def _best_epoch(folder: Path) -> dict[str, float]:
    """Return the figures of the epoch that the checkpoint keeps: the best macro-F1, then the lowest loss."""
    best = max(read_log(folder), key=lambda record: (record["val_macro_f1"], -record["val_loss"]))
    return {name: float(best[name]) for name in ("val_macro_f1", "val_accuracy", "val_balanced_accuracy")}


def _read_result(folder: Path, identity: str) -> Result | None:
    """Return what a run left, unless it had other params or data."""
    try:
        result: Result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return result if result["identity"] == identity else None


def _write_result(folder: Path, result: Result) -> None:
    temporary = folder / f"{RESULT_FILE}.tmp"
    temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / RESULT_FILE)


def _write_params(path: Path, document: Document) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
