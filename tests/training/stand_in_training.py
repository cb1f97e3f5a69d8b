"""Runs in place of training: processes of a moment that write its log, refuse, break, or wait to be ended."""

import subprocess
import sys
from pathlib import Path

import yaml

# Macro-F1 tells the seed, accuracy the weight decay; above 0.5 training refuses it, above 0.9 it breaks.
_RUN = """
import json, sys, time
from pathlib import Path
import yaml
params, out = Path(sys.argv[1]), Path(sys.argv[2])
train = yaml.safe_load(params.read_text())["train"]
if train["weight_decay"] > 0.5:
    print("training: this is refused")
    sys.exit(2 if train["weight_decay"] < 0.9 else -9)
if train["weight_decay"] == 0.5:
    time.sleep(600)
figures = {"val_accuracy": train["weight_decay"], "val_balanced_accuracy": 0.5, "run_id": ""}
with (out / "log.jsonl").open("w") as log:
    for epoch, (macro_f1, loss) in enumerate([(0.2, 1.0), (0.1 * train["seed"] + 0.3, 0.9), (0.25, 0.8)], 1):
        print(json.dumps({"epoch": epoch, "val_macro_f1": macro_f1, "val_loss": loss, **figures}), file=log)
"""
LEARNS, WAITS, IS_REFUSED, BREAKS = 0.1, 0.5, 0.8, 0.95  # weight decays


def start_training(params: Path, _manifest: Path, out_dir: Path) -> subprocess.Popen[bytes]:
    """Start a run as `training.process.child_run.start_training` does."""
    with (out_dir / "child.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-c", _RUN, str(params), str(out_dir)], stdout=log)


def decay_and_seed(params: Path) -> tuple[float, int]:
    """Return what a params file says of weight decay and seed."""
    train = yaml.safe_load(params.read_text(encoding="utf-8"))["train"]
    return train["weight_decay"], train["seed"]
