"""Train a model: `python -m training.launch training.train`, or under `torchrun` with any number of processes.

Writes to `--out` `checkpoint.pt` (of the epoch that is best on the validation split: by macro-F1, with `--task
segmentation` by Dice, with `--task detection` by F1 of boxes), `log.jsonl`, `history.csv`, `history.png` and
`contact_sheet.png`, and a run to MLflow (MLFLOW_TRACKING_URI, by default the SQLite file `mlflow.db`).
"""

import argparse
import sys
from pathlib import Path

from dataset.outputs.tasks import ARTIFACTS, add_task_option, manifest_of
from project.command import command
from project.params import add_params_option
from training.fit import run_fit
from training.run.run_control import RunControl


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, help="data/manifest.csv, or that of the task")
    add_params_option(parser)
    add_task_option(parser)
    parser.add_argument("--out", type=Path, help="artifacts/training, or that of the task")
    parser.add_argument("--protocol", choices=("group", "image"), default="group", help="image: leaks, for comparison")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode, for each training process")
    parser.add_argument("--resume", choices=("auto", "required", "never"), default="auto", help="docs/TRAINING.md")
    parser.add_argument("--save-every-steps", type=int, default=0, help="0: after epochs only")


@command(_arguments, logs_to="nothing")
def main(arguments: argparse.Namespace) -> int:
    out_dir = arguments.out or ARTIFACTS[arguments.task] / "training"
    control = RunControl(out_dir, arguments.workers, arguments.resume, arguments.save_every_steps)
    manifest: Path = arguments.manifest or manifest_of(arguments.task)
    return run_fit(manifest, arguments.params, control, arguments.protocol, arguments.task)


if __name__ == "__main__":
    sys.exit(main())
