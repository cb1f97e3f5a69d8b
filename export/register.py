"""Register a trained, measured, exported model: the last step before the Bento.

    python -m export.register --checkpoint artifacts/training/checkpoint.pt --export artifacts/export \
        --evaluation artifacts/evaluation --card artifacts/MODEL_CARD.md
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bentoml.exceptions import BentoMLException

from evaluation.parity import PARITY_FILE, Parity, ParityError
from export.model_store import CHECKPOINT, CLASSIFIER, ModelContent, Registered, register_pair
from runtime.card import CardError, check_card
from runtime.contract import CONTRACT_FILE, ONNX_FILE, ContractError, ModelContract
from runtime.session import Predictor

CHECKPOINT_FILE = "checkpoint.pt"
EVALUATION_FILE = "evaluation.json"
METRICS_FILE = "metrics.json"
CARD_FILE = "MODEL_CARD.md"


class RegistrationError(ValueError):
    """Files that do not belong together or are not all there; the message names them and says what to run."""


@dataclass(frozen=True)
class Sources:
    """Where the files of one model lie."""

    checkpoint: Path
    export_dir: Path
    evaluation_dir: Path
    card: Path


def register(sources: Sources) -> Registered:
    """Check that everything is of one model, then register it.

    Raises RegistrationError if a file is missing or broken, if graph and contract disagree, if parity failed or if the
    card is of another ONNX file. Nothing is registered then.
    """
    contract, onnx_sha256 = _check_model(sources.export_dir)
    parity = _check_parity(sources.export_dir / PARITY_FILE)
    metrics = _read_json(sources.evaluation_dir / METRICS_FILE, "make eval")
    _read_json(sources.evaluation_dir / EVALUATION_FILE, "make eval")
    try:
        check_card(sources.card, onnx_sha256)
    except CardError as exc:
        raise RegistrationError(str(exc)) from exc
    if not sources.checkpoint.is_file():
        raise RegistrationError(f"there is no checkpoint {sources.checkpoint}; run `make train`")
    lineage = contract.lineage
    labels = {
        "git_commit": lineage.git_commit,
        "data_sha256": lineage.data_sha256,
        "mlflow_run_id": lineage.mlflow_run_id,
        "onnx_sha256": onnx_sha256,
    }
    metadata = {"metrics": metrics, "parity": parity.model_dump(mode="json")}
    contract_path = sources.export_dir / CONTRACT_FILE
    checkpoint = ModelContent(
        CHECKPOINT, {CHECKPOINT_FILE: sources.checkpoint, CONTRACT_FILE: contract_path}, {"metrics": metrics}
    )
    classifier_files = {
        ONNX_FILE: sources.export_dir / ONNX_FILE,
        CONTRACT_FILE: contract_path,
        EVALUATION_FILE: sources.evaluation_dir / EVALUATION_FILE,
        CARD_FILE: sources.card,
    }
    return register_pair(checkpoint, ModelContent(CLASSIFIER, classifier_files, metadata), labels)


def _check_model(export_dir: Path) -> tuple[ModelContract, str]:
    try:
        predictor = Predictor.load(export_dir, device="cpu")
        predictor.warm_up()
    except ContractError as exc:
        raise RegistrationError(f"{exc}; run `make export`") from exc
    return predictor.contract, predictor.sha256


def _check_parity(path: Path) -> Parity:
    try:
        parity = Parity.read(path)
        parity.check()
    except ParityError as exc:
        raise RegistrationError(f"{path}: {exc}") from exc
    return parity


def _read_json(path: Path, command: str) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise RegistrationError(f"cannot read {path}: {exc}; run `{command}`") from exc


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Register a model in BentoML's model store.")
    parser.add_argument("--checkpoint", type=Path, default=Path("artifacts/training/checkpoint.pt"))
    parser.add_argument("--export", type=Path, default=Path("artifacts/export"))
    parser.add_argument("--evaluation", type=Path, default=Path("artifacts/evaluation"))
    parser.add_argument("--card", type=Path, default=Path("artifacts/MODEL_CARD.md"))
    args = parser.parse_args(argv)
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # BentoML takes no other word, "1" included
    try:
        registered = register(Sources(args.checkpoint, args.export, args.evaluation, args.card))
    except (RegistrationError, BentoMLException, OSError) as exc:
        sys.stderr.write(f"cannot register: {exc}\n")
        return 2
    what = "registered" if registered.is_new else "already registered:"
    sys.stdout.write(f"{what} {registered.classifier} and {registered.checkpoint}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
