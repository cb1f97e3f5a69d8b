"""From a manifest to the best checkpoint: the run as a whole, the same for one process and for many."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import timm
import torch

from dataset.checks import check_no_group_on_two_sides
from dataset.manifest import Manifest, Protocol
from runtime.contract import Lineage, ModelContract
from training.contact_sheet import save_contact_sheet
from training.data import check_batch_size
from training.distributed import Worker
from training.engine import Data, Engine, Keeping
from training.lineage import git_commit
from training.losses import Loss, class_weights, classifier_loss
from training.model import Classifier, create_backbone
from training.params import Params
from training.pictures import training_pictures, validation_pictures
from training.run_state import StateDir, StateError, code_sha256
from training.sampling import describe, expected_counts
from training.signals import LeaveRequest
from training.tracking import Run

CHECKPOINT_FILE = "checkpoint.pt"
CONTACT_SHEET_FILE = "contact_sheet.png"
STATE_DIR = "state"
Resume = Literal["auto", "required", "never"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunControl:
    """What the command line says of a run; nothing here changes what is trained.

    resume: auto goes on from a state of this very run if there is one; required refuses to begin anew; never does.
    """

    out_dir: Path
    num_workers: int = 0
    resume: Resume = "auto"
    save_every_steps: int = 0


def fit(
    manifest: Manifest,
    protocol: Protocol,
    params: Params,
    control: RunControl,
    worker: Worker,
    leaving: LeaveRequest | None = None,
) -> Path:
    """Train on the manifest's train split, keep the epoch with the best macro-F1 on val, return the checkpoint's path.

    Raises ManifestError if the data do not fit, WeightsError if pretrained weights cannot be had, ParamsError if a
    phase does not fit the backbone, StateError if a state is required and there is none, Requeue after `leaving`.
    """
    if protocol == "group":
        check_no_group_on_two_sides(manifest.table)
    train, val = manifest.select("train", protocol), manifest.select("val", protocol)
    check_batch_size(
        len(train.table), params.train.batch_size, worker.world_size, params.augment.mixes, params.train.accumulation
    )
    torch.manual_seed(params.train.seed)
    model, contract = _create(manifest, params)
    model.to(worker.device)
    # From here on each process draws its own dropout: the model above is the same in all.
    torch.manual_seed(params.train.seed + worker.rank)
    data = Data(
        training_pictures(train, contract, params, sum(phase.epochs for phase in params.train.phases)),
        validation_pictures(val, contract, params),
        control.num_workers,
    )
    loss_function = _loss(data.train.labels, params, contract, worker)
    states = StateDir(control.out_dir / STATE_DIR, _identity(manifest, protocol, params, worker))
    state = worker.broadcast(_load_state(states, control.resume) if worker.is_main else None)
    checkpoint_path = control.out_dir / CHECKPOINT_FILE
    keeping = Keeping(states, control.save_every_steps, leaving or LeaveRequest())
    if not worker.is_main:
        contract = _with_run_id(contract, worker.broadcast(""))
        Engine(model, contract, data, params, loss_function, worker, None, checkpoint_path, keeping).run(state)
        worker.broadcast("")  # wait for the checkpoint
        return checkpoint_path
    tags = {"protocol": protocol, "git_commit": contract.lineage.git_commit}
    facts = {**params.flat(), "data_sha256": contract.lineage.data_sha256, "weights": contract.lineage.weights}
    with Run(control.out_dir, facts, tags, state["log"] if state else None) as run:
        contract = _with_run_id(contract, worker.broadcast(run.run_id))
        save_contact_sheet(data.train, contract.classes, params.train.seed, control.out_dir / CONTACT_SHEET_FILE)
        run.log_artifact(control.out_dir / CONTACT_SHEET_FILE)
        Engine(model, contract, data, params, loss_function, worker, run, checkpoint_path, keeping).run(state)
        run.log_artifact(checkpoint_path)
        states.clear()
    worker.broadcast("")
    return checkpoint_path


def _load_state(states: StateDir, resume: Resume) -> dict[str, Any] | None:
    """Return where to go on; None to begin anew, after removing states of no use."""
    state = None if resume == "never" else states.load_newest()
    if state is None and resume == "required":
        raise StateError(f"there is nothing to resume in {states.path}: leave --resume out to begin anew")
    if state is None:
        states.clear()
    return state


def _identity(manifest: Manifest, protocol: Protocol, params: Params, worker: Worker) -> dict[str, str]:
    """Return what must be the same for a resumed run to end with the same bits, each under the name users know."""
    return {
        "params": hashlib.sha256(params.model_dump_json().encode()).hexdigest(),
        "data": manifest.sha256,
        "protocol": protocol,
        "code": code_sha256(Path(__file__).parent.parent),
        "packages": f"torch {torch.__version__}, timm {timm.__version__}",
        "number of processes": str(worker.world_size),
    }


def _loss(labels: list[int], params: Params, contract: ModelContract, worker: Worker) -> Loss:
    train = params.train
    logger.info("%s", describe(labels, train.sampling))
    counts = expected_counts(labels, len(contract.classes), train.sampling)
    weights = class_weights(counts, train.class_weighting, train.class_weight_power, train.effective_number_beta)
    return classifier_loss(train.loss, weights.to(worker.device), train.label_smoothing, train.focal_gamma)


def _create(manifest: Manifest, params: Params) -> tuple[Classifier, ModelContract]:
    backbone, mean, std, origin = create_backbone(params.model, len(manifest.classes))
    lineage = Lineage(
        git_commit=git_commit(Path()), data_sha256=manifest.sha256, backbone=params.model.backbone, weights=origin
    )
    contract = ModelContract(
        classes=manifest.classes, mean=mean, std=std, lineage=lineage, **params.contract.model_dump()
    )
    return Classifier(backbone, mean, std, channels_last=params.train.channels_last), contract


def _with_run_id(contract: ModelContract, run_id: str) -> ModelContract:
    lineage = contract.lineage.model_copy(update={"mlflow_run_id": run_id})
    return contract.model_copy(update={"lineage": lineage})
