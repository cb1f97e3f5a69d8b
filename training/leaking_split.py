"""Train once more on a split by image, which leaks, to show beside the headline what the leak does to a score:
`python -m training.launch training.leaking_split`.

Done only for data whose description asks for it (published figures use such a split); else a note says that nothing was
compared. Writes `checkpoint.pt`, `log.jsonl` and `predictions.csv`, or `not_compared.txt`, to `--out`.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from dataset.description import DataDescription
from dataset.manifest import Manifest
from dataset.stage import fresh
from evaluation.predictions import NOT_COMPARED_FILE, PREDICTIONS_FILE, PredictionsError
from project.command import EXPLAINED, command
from project.params import add_params_option

logger = logging.getLogger(__name__)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"))
    add_params_option(parser)
    parser.add_argument("--out", type=Path, default=Path("artifacts/by_image"))
    parser.add_argument("--workers", type=int, default=0)


@command(_arguments, logs_to="nothing")
def main(arguments: argparse.Namespace) -> int:
    description = DataDescription.read(arguments.data)
    out_dir: Path = arguments.out
    manifest_path = arguments.data / "manifest.csv"
    is_main = int(os.environ.get("RANK", "0")) == 0  # the folder is one process's: others would take it away again
    if not description.compare_protocols:
        if is_main:
            _say_why_not(out_dir, description.name)
        return 0
    # DVC leaves the folder as it was, for the state of an interrupted run is in it; what is stale must not look new.
    for name in (NOT_COMPARED_FILE, PREDICTIONS_FILE) if is_main else ():
        (out_dir / name).unlink(missing_ok=True)
    return _compare(manifest_path, arguments.params, out_dir, arguments.workers, is_main)


def _compare(manifest_path: Path, params_path: Path, out_dir: Path, num_workers: int, is_main: bool) -> int:
    """Train, have the first process write the predictions, and return the exit status."""
    # Here, since what only leaves a note needs none of the seconds that PyTorch takes to be imported.
    from training.fit import CHECKPOINT_FILE, run_fit
    from training.run.checkpoint import Checkpoint
    from training.run.known_errors import KNOWN_ERRORS
    from training.run.run_control import RunControl
    from training.tasks.prediction import predict

    status = run_fit(manifest_path, params_path, RunControl(out_dir, num_workers), "image")
    if status or not is_main:
        return status
    try:
        predictions = predict(Manifest.read(manifest_path), "image", Checkpoint.load(out_dir / CHECKPOINT_FILE))
        predictions.write(out_dir / PREDICTIONS_FILE)
    except (*KNOWN_ERRORS, PredictionsError) as exc:
        sys.stderr.write(f"predict: {exc}\n")
        return EXPLAINED
    logger.info("%d predictions in %s", len(predictions.labels), out_dir / PREDICTIONS_FILE)
    return 0


def _say_why_not(out_dir: Path, data_name: str) -> None:
    reason = f"The description of '{data_name}' does not ask for a comparison with a split by image.\n"
    with fresh([out_dir]):
        out_dir.mkdir(parents=True)
        (out_dir / NOT_COMPARED_FILE).write_text(reason, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
