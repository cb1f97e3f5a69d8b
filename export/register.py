"""Register a trained, measured, exported model: the last step before the Bento.

    python -m export.register --checkpoint artifacts/training/checkpoint.pt --export artifacts/export \
        --evaluation artifacts/evaluation --card artifacts/MODEL_CARD.md
    python -m export.register --task segmentation

A model that is worse than the newest registered one of the same data is refused: docs/COMPARISON.md.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import bentoml
from bentoml.exceptions import BentoMLException

from dataset.manifest import ManifestError
from dataset.outputs.tasks import ARTIFACTS, DATA, add_task_option
from evaluation.document import EvaluationError
from evaluation.evaluation import BY_IMAGE_FILE, EVALUATION_FILE
from evaluation.model_review import REVIEW_FILE, ModelReview, ReviewError
from evaluation.predictions import PREDICTIONS_FILE, PredictionsError
from evaluation.statistics.parity import PARITY_FILE, Parity, ParityError
from export.gate import KNOWN_ERRORS, Gate, add_gate_arguments, first_of_its_data, outcome_in_words, read_gate
from export.measured_model import (
    TASK_LABEL,
    MeasuredModel,
    measured_files,
    read_measured_model,
    registered_tags,
)
from export.model_store import (
    CHECKPOINT_NAMES,
    ModelContent,
    Registered,
    StoreError,
    check_store,
    register_pair,
)
from export.same_data import find_reference
from project.command import command
from runtime.model.card import CardError, check_card
from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ContractError, ModelContract
from runtime.model.roles import ROLE_NAMES, Role, role_of
from runtime.model.session import Predictor
from training.records.registry import register_version
from training.records.tracking import TrackingError

CHECKPOINT_FILE = "checkpoint.pt"
METRICS_FILE = "metrics.json"
CARD_FILE = "MODEL_CARD.md"
# Options of the command, and what each replaces of `Sources`.
FILES = {
    "checkpoint": "checkpoint", "export": "export_dir", "evaluation": "evaluation_dir", "card": "card",
    "predictions": "predictions", "data": "data_dir", "review": "review_dir",
}  # fmt: skip


class RegistrationError(ValueError):
    """Files that do not belong together or are not all there; the message names them and says what to run."""


@dataclass(frozen=True)
class Sources:
    """Where the files of one model lie."""

    checkpoint: Path
    export_dir: Path
    evaluation_dir: Path
    card: Path
    predictions: Path
    data_dir: Path
    review_dir: Path

    @classmethod
    def of(cls, role: Role) -> Self:
        """Return where the stages of a role's models leave them."""
        artifacts = ARTIFACTS[role]
        return cls(
            checkpoint=artifacts / "training" / CHECKPOINT_FILE,
            export_dir=artifacts / "export",
            evaluation_dir=artifacts / "evaluation",
            card=artifacts / CARD_FILE,
            predictions=artifacts / PREDICTIONS_FILE,
            data_dir=DATA[role],
            review_dir=artifacts / "review",
        )


def register(sources: Sources, gate: Gate, role: Role = "classification") -> Registered:
    """Check that everything is of one model of the role and no worse than what is registered, then register it.

    Raises RegistrationError if a file is missing or broken, if graph and contract disagree, if parity failed, if the
    card is of another ONNX file or predictions are of other pictures; GateError if the gate refuses the model.
    Nothing is registered then.
    """
    contract, onnx_sha256 = _check_model(sources.export_dir, role)
    parity = _check_parity(sources.export_dir / PARITY_FILE, contract)
    metrics = _read_json(sources.evaluation_dir / METRICS_FILE, "make eval")
    _read_json(sources.evaluation_dir / EVALUATION_FILE, "make eval")
    try:
        check_card(sources.card, onnx_sha256, is_alone=True)
    except CardError as exc:
        raise RegistrationError(str(exc)) from exc
    if not sources.checkpoint.is_file():
        raise RegistrationError(f"there is no checkpoint {sources.checkpoint}; run `make train`")
    _check_review(sources.review_dir / REVIEW_FILE, onnx_sha256)
    measured = _read_measured(sources, gate.margins.task)
    lineage = contract.lineage
    labels = {
        "git_commit": lineage.git_commit,
        "data_sha256": lineage.data_sha256,
        "mlflow_run_id": lineage.mlflow_run_id,
        "onnx_sha256": onnx_sha256,
        **({TASK_LABEL: measured.task} if measured.task else {}),
    }
    metadata = {"metrics": metrics, "parity": parity.model_dump(mode="json", exclude_none=True)}
    contract_path = sources.export_dir / CONTRACT_FILE
    checkpoint_files = {
        CHECKPOINT_FILE: sources.checkpoint,
        CONTRACT_FILE: contract_path,
        **measured_files(role, sources.predictions, sources.data_dir, sources.evaluation_dir),
    }
    optional = (sources.evaluation_dir / BY_IMAGE_FILE, sources.review_dir / REVIEW_FILE)
    model_files = {
        ONNX_FILE: sources.export_dir / ONNX_FILE,
        CONTRACT_FILE: contract_path,
        EVALUATION_FILE: sources.evaluation_dir / EVALUATION_FILE,
        CARD_FILE: sources.card,
        **{path.name: path for path in optional if path.is_file()},
    }
    return register_pair(
        ModelContent(CHECKPOINT_NAMES[role], checkpoint_files, {"metrics": metrics}),
        ModelContent(ROLE_NAMES[role], model_files, metadata),
        labels,
        lambda: admit_to_store(measured, gate, role),
    )


def admit_to_store(measured: MeasuredModel, gate: Gate, role: Role) -> dict[str, str]:
    """Let the gate compare with the newest registered model of the same data; a data set's first model passes."""
    found = find_reference(measured, registered_tags(role))
    if found.reference is None:
        return first_of_its_data(measured.data.name, found.reason)
    return gate.admit(measured, found.reference, found.reason)


def _read_measured(sources: Sources, task: str) -> MeasuredModel:
    try:
        return read_measured_model(
            "this model", sources.export_dir, sources.predictions, sources.data_dir, sources.evaluation_dir, task
        )
    except (EvaluationError, ManifestError, PredictionsError) as exc:
        raise RegistrationError(f"{exc}; run `make card`") from exc


def _check_model(export_dir: Path, role: Role) -> tuple[ModelContract, str]:
    try:
        predictor = Predictor.load(export_dir, device="cpu")
        predictor.warm_up()
    except ContractError as exc:
        raise RegistrationError(f"{exc}; run `make export`") from exc
    if (found := role_of(predictor.contract)) != role:
        raise RegistrationError(f"the model in {export_dir} is of {found}: say --task {found}")
    return predictor.contract, predictor.sha256


def _check_parity(path: Path, contract: ModelContract) -> Parity:
    try:
        parity = Parity.read(path)
        parity.check()
        parity.check_task(contract)
    except ParityError as exc:
        raise RegistrationError(f"{path}: {exc}") from exc
    return parity


def _check_review(path: Path, onnx_sha256: str) -> None:
    """A review is optional, but one of another model would be taken for this one's."""
    if not path.is_file():
        return
    try:
        reviewed = ModelReview.read(path).onnx_sha256
    except ReviewError as exc:
        raise RegistrationError(str(exc)) from exc
    if reviewed != onnx_sha256:
        raise RegistrationError(f"{path} is of another model ({reviewed[:12]}); run `make card`")


def _tell_mlflow(run_id: str, registered: Registered) -> str:
    """Register the run's model in MLflow too, with the store's tags; say what was done. Without a run, say that."""
    try:
        version = register_version(run_id, registered.model, registered.checkpoint)
    except TrackingError as exc:
        return f"MLflow's registry does not know this model: {exc}\n"
    return f"MLflow's registry has it as {registered.model.partition(':')[0]} version {version}\n"


def _read_json(path: Path, command: str) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise RegistrationError(f"cannot read {path}: {exc}; run `{command}`") from exc


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_task_option(parser)
    usual = Sources.of("classification")
    for name, what in FILES.items():
        parser.add_argument(f"--{name}", type=Path, dest=what, help=f"{getattr(usual, what)}, or that of the task")
    add_gate_arguments(parser)


@command(
    _arguments,
    known=(RegistrationError, StoreError, *KNOWN_ERRORS, BentoMLException, OSError),
    speaker="cannot register",
)
def main(args: argparse.Namespace) -> None:
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # BentoML takes no other word, "1" included
    check_store()
    stated = {what: getattr(args, what) for what in FILES.values() if getattr(args, what)}
    registered = register(replace(Sources.of(args.task), **stated), read_gate(args), args.task)
    labels = bentoml.models.get(registered.model).info.labels
    sys.stdout.write(_tell_mlflow(labels.get("mlflow_run_id", ""), registered))
    what = "registered" if registered.is_new else "already registered:"
    sys.stdout.write(f"{what} {registered.model} and {registered.checkpoint}\n{outcome_in_words(labels)}\n")


if __name__ == "__main__":
    sys.exit(main())
