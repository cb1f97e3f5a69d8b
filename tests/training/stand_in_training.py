"""Runs in place of training: processes of a moment that write its log, refuse, break, or wait to be ended."""

import json
import subprocess
import sys
import time
from pathlib import Path

import yaml

from training.process.child_run import CHILD_LOG, DEATH_SIGNAL, start_child

MODULE = "tests.training.stand_in_training"
LEARNS, WAITS, IS_REFUSED, BREAKS = 0.1, 0.5, 0.8, 0.95  # weight decays


def start_training(params: Path, _manifest: Path, out_dir: Path, _task: str) -> subprocess.Popen[bytes]:
    """Start a run as `training.process.child_run.start_training` does, bound to this process."""
    return start_child(DEATH_SIGNAL, [MODULE, str(params), str(out_dir)], out_dir / CHILD_LOG)


def decay_and_seed(params: Path) -> tuple[float, int]:
    """Return what a params file says of weight decay and seed."""
    train = yaml.safe_load(params.read_text(encoding="utf-8"))["train"]
    return train["weight_decay"], train["seed"]


def _run(params: Path, out_dir: Path) -> int:
    """Write a log whose macro-F1 tells the seed and whose accuracy tells the weight decay; return the exit status."""
    decay, seed = decay_and_seed(params)
    if decay in (IS_REFUSED, BREAKS):
        sys.stdout.write("training: this is refused\n")
        return 2 if decay == IS_REFUSED else 247
    if decay == WAITS:
        time.sleep(600)
    figures = {"val_accuracy": decay, "val_balanced_accuracy": 0.5, "run_id": ""}
    with (out_dir / "log.jsonl").open("w", encoding="utf-8") as log:
        for epoch, (macro_f1, loss) in enumerate([(0.2, 1.0), (0.1 * seed + 0.3, 0.9), (0.25, 0.8)], 1):
            record = {"epoch": epoch, "val_macro_f1": macro_f1, "val_loss": loss, **figures}
            log.write(json.dumps(record) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(_run(*map(Path, sys.argv[1:])))
