"""Put what was measured of a checkpoint into its MLflow run: `python -m training.log_evaluation`.

Logs the figures of `metrics.json` as metrics `test.<figure>` and the report, the card, the evaluation and its pictures
as artefacts below `evaluation/`; before them, what MLflow did not take while the run of `--training` went on.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

from dataset.outputs.tasks import ARTIFACTS, add_task_option
from project.command import command
from runtime.model.contract import ContractError, read_contract
from training.records.run_log import send_unsent
from training.records.tracking import TrackingError, log_to_run

PICTURES_AND_DOCUMENTS = ("*.json", "*.png", "*.csv")

logger = logging.getLogger(__name__)


def read_figures(metrics_path: Path) -> dict[str, float]:
    """Return the figures of `metrics.json` as `split.figure`; what is undefined or no number is left out.

    Raises TrackingError if the file is missing or malformed.
    """
    try:
        document = json.loads(metrics_path.read_text(encoding="utf-8"))
        pairs = [(f"{split}.{name}", value) for split, part in document.items() for name, value in part.items()]
    except (OSError, ValueError, AttributeError) as exc:
        raise TrackingError(f"cannot read {metrics_path}: {exc}; run `make eval`") from exc
    return {name: float(value) for name, value in pairs if type(value) in (int, float)}


# Each option's place among the artifacts of the task.
PLACES = {
    "contract": "export/contract.json",
    "evaluation": "evaluation",
    "report": "report.html",
    "card": "MODEL_CARD.md",
    "training": "training",
}


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_task_option(parser)
    for option, place in PLACES.items():
        parser.add_argument(f"--{option}", type=Path, help=f"artifacts/{place}, or that of the task")
    parser.add_argument("--unsent-only", action="store_true", help="send what MLflow did not take, and nothing else")


@command(_arguments, known=(ContractError, TrackingError))
def main(arguments: argparse.Namespace) -> None:
    given = vars(arguments)
    paths = {option: given[option] or ARTIFACTS[arguments.task] / place for option, place in PLACES.items()}
    found = [path for pattern in PICTURES_AND_DOCUMENTS for path in sorted(paths["evaluation"].glob(pattern))]
    if not send_unsent(paths["training"]) and arguments.unsent_only:
        logger.info("MLflow has all of the run in %s", paths["training"])
    if arguments.unsent_only:
        return
    run_id = read_contract(paths["contract"]).lineage.mlflow_run_id
    documents = [paths["report"], paths["card"]]
    missing = [str(path) for path in documents if not path.is_file()]
    if missing:
        raise TrackingError(f"there is no {' and no '.join(missing)}; run `make card`")
    figures = read_figures(paths["evaluation"] / "metrics.json")
    log_to_run(run_id, figures, [*documents, *found], "evaluation")
    logger.info("%d figures and %d files in MLflow run %s", len(figures), 2 + len(found), run_id)


if __name__ == "__main__":
    sys.exit(main())
