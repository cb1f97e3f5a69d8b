"""Train a model: `python -m training.launch training.train`, or under `torchrun` with any number of processes.

Writes to `--out` `checkpoint.pt` (of the epoch that is best on the validation split: by macro-F1, or by Dice with
`--task segmentation`), `log.jsonl`, `history.csv`, `history.png` and `contact_sheet.png`, and a run to MLflow
(MLFLOW_TRACKING_URI, by default the SQLite file `mlflow.db`).
"""

import argparse
import sys
from pathlib import Path

from dataset.manifest import Manifest, Protocol
from dataset.outputs.tasks import ARTIFACTS, add_task_option
from project.command import command
from project.params import add_params_option
from runtime.model.contract import Task
from training.fit import fit
from training.params import Params
from training.process.determinism import deterministic
from training.process.distributed import Worker
from training.process.exit_status import exit_status
from training.process.signals import LeaveRequest
from training.run.known_errors import KNOWN_ERRORS
from training.run.run_control import RunControl


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    add_params_option(parser)
    add_task_option(parser)
    parser.add_argument("--out", type=Path, help="artifacts/training, or artifacts/segmentation/training")
    parser.add_argument("--protocol", choices=("group", "image"), default="group", help="image: leaks, for comparison")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode, for each training process")
    parser.add_argument("--resume", choices=("auto", "required", "never"), default="auto", help="docs/TRAINING.md")
    parser.add_argument("--save-every-steps", type=int, default=0, help="0: after epochs only")


@command(_arguments, logs_to="nothing")
def main(arguments: argparse.Namespace) -> int:
    out_dir = arguments.out or ARTIFACTS[arguments.task] / "training"
    control = RunControl(out_dir, arguments.workers, arguments.resume, arguments.save_every_steps)
    return run(arguments.manifest, arguments.params, control, arguments.protocol, arguments.task)


def run(
    manifest_path: Path, params_path: Path, control: RunControl, protocol: Protocol, task: Task = "classification"
) -> int:
    """Train, and return the exit status: 2 after an error that the user can mend, 75 if asked to leave and saved."""

    def body(this: Worker, leaving: LeaveRequest) -> None:
        manifest, params = Manifest.read(manifest_path), Params.read(params_path, task)
        with deterministic(params.train.deterministic, this.device):
            fit(manifest, protocol, params, control, this, leaving)

    return exit_status("training", KNOWN_ERRORS, body)


if __name__ == "__main__":
    sys.exit(main())
