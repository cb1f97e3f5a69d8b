"""Train once more on a split by image, which leaks, to show beside the headline what the leak does to a score:
`python -m training.launch training.leaking_split`.

Done only for data whose description asks for it (published figures use such a split); else a note says that nothing was
compared. Writes `checkpoint.pt`, `log.jsonl` and `predictions.csv`, or `not_compared.txt`, to `--out`.
"""

import argparse
import os
import sys
from pathlib import Path

from dataset.description import DataDescription
from dataset.stage import fresh
from project.command import command
from project.params import add_params_option


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
    # Here, since what only leaves a note needs none of the seconds that PyTorch takes to be imported.
    from training import predict, train
    from training.fit import CHECKPOINT_FILE
    from training.run.run_control import RunControl

    # DVC leaves the folder as it was, for the state of an interrupted run is in it; what is stale must not look new.
    for name in ("not_compared.txt", "predictions.csv") if is_main else ():
        (out_dir / name).unlink(missing_ok=True)
    status = train.run(manifest_path, arguments.params, RunControl(out_dir, arguments.workers), "image")
    if status or not is_main:
        return status
    checkpoint = str(out_dir / CHECKPOINT_FILE)
    files = ["--manifest", str(manifest_path), "--checkpoint", checkpoint, "--out", str(out_dir / "predictions.csv")]
    return predict.main([*files, "--protocol", "image"])


def _say_why_not(out_dir: Path, data_name: str) -> None:
    reason = f"The description of '{data_name}' does not ask for a comparison with a split by image.\n"
    with fresh([out_dir]):
        out_dir.mkdir(parents=True)
        (out_dir / "not_compared.txt").write_text(reason, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
