"""From a manifest to the best checkpoint: the run as a whole, the same for one process and for many."""

import logging
from pathlib import Path

import torch

from dataset.checks import check_every_class_trains, check_no_group_on_two_sides, check_validation_pictures
from dataset.manifest import Manifest, Protocol
from runtime.model.contract import ModelContract
from training.data.contact_sheet import save_contact_sheet
from training.data.pictures import pictures_of_run
from training.data.sampling import describe
from training.network.classifier import Classifier, create_backbone
from training.network.losses import training_loss
from training.params import Params
from training.process.compilation import check_compilation
from training.process.distributed import Worker
from training.process.signals import LeaveRequest
from training.records.run_log import Run
from training.records.tracking import check_store
from training.run.batch_size import with_fitting_batch
from training.run.engine import Data, Engine
from training.run.keeping import Keeping
from training.run.new_contract import new_contract, with_run_id
from training.run.run_control import RunControl, state_dir, state_to_resume

CHECKPOINT_FILE = "checkpoint.pt"
CONTACT_SHEET_FILE = "contact_sheet.png"
logger = logging.getLogger(__name__)


def fit(
    manifest: Manifest,
    protocol: Protocol,
    params: Params,
    control: RunControl,
    worker: Worker,
    leaving: LeaveRequest | None = None,
) -> Path:
    """Train on the manifest's train split, keep the epoch with the best macro-F1 on val, return the checkpoint's path.

    Raises ManifestError if the data do not fit, WeightsError if pretrained weights cannot be had, BackboneError if the
    backbone does not take pictures of that size, ParamsError if a phase does not fit the backbone, if processes cannot
    share a batch or if nothing can be compiled here, StateError if a state is required and there is none,
    TrackingError if MLflow does not answer, Requeue after `leaving`.
    """
    if worker.is_main:
        check_store()
    if protocol == "group":
        check_no_group_on_two_sides(manifest.table)
    check_every_class_trains(manifest.table, protocol)
    check_validation_pictures(manifest.table, protocol)
    train, val = manifest.select("train", protocol), manifest.select("val", protocol)
    params = with_fitting_batch(params, len(train.table), worker.world_size)
    if params.train.compile:
        check_compilation(worker.device)
    torch.manual_seed(params.train.seed)
    model, contract = _create(manifest, params)
    model.to(worker.device)
    # From here on each process draws its own dropout: the model above is the same in all.
    torch.manual_seed(params.train.seed + worker.rank)
    num_epochs = sum(phase.epochs for phase in params.train.phases)
    data = Data(*pictures_of_run(train, val, contract, params, num_epochs), control.num_workers)
    logger.info("%s", describe(data.train.labels, params.train.sampling))
    loss_function = training_loss(data.train.labels, len(contract.classes), params.train, worker.device)
    states = state_dir(control, manifest, protocol, params, worker)
    state = state_to_resume(states, control.resume, worker)
    checkpoint_path = control.out_dir / CHECKPOINT_FILE
    keeping = Keeping(states, control.save_every_steps, leaving or LeaveRequest())
    if not worker.is_main:
        contract = with_run_id(contract, worker.broadcast(""))
        Engine(model, contract, data, params, loss_function, worker, None, checkpoint_path, keeping).run(state)
        worker.broadcast("")  # wait for the checkpoint
        return checkpoint_path
    tags = {"protocol": protocol, "git_commit": contract.lineage.git_commit}
    facts = {**params.flat(), "data_sha256": contract.lineage.data_sha256, "weights": contract.lineage.weights}
    with Run(control.out_dir, facts, tags, state["log"] if state else None) as run:
        contract = with_run_id(contract, worker.broadcast(run.run_id))
        save_contact_sheet(data.train, contract.classes, params.train.seed, control.out_dir / CONTACT_SHEET_FILE)
        run.log_artifact(control.out_dir / CONTACT_SHEET_FILE)
        Engine(model, contract, data, params, loss_function, worker, run, checkpoint_path, keeping).run(state)
        run.log_artifact(checkpoint_path)
        states.clear()
    worker.broadcast("")
    return checkpoint_path


def _create(manifest: Manifest, params: Params) -> tuple[Classifier, ModelContract]:
    backbone, mean, std, origin = create_backbone(
        params.model, len(manifest.classes), (params.contract.height, params.contract.width)
    )
    contract = new_contract(manifest, params, mean, std, origin)
    return Classifier(backbone, mean, std, channels_last=params.train.channels_last), contract
