"""From a manifest to the best checkpoint: the run as a whole, the same for every task and any number of processes."""

import logging
from contextlib import nullcontext
from pathlib import Path

import torch

from dataset.checks import check_every_class_trains, check_no_group_on_two_sides, check_validation_pictures
from dataset.manifest import Manifest, Protocol
from runtime.model.roles import Role, role_of
from training.data.contact_sheet import save_contact_sheet
from training.data.sampling import describe
from training.network.saved_results import save_results_of_relu6
from training.params import Params
from training.process.compilation import check_compilation
from training.process.determinism import deterministic
from training.process.distributed import Worker
from training.process.exit_status import exit_status
from training.process.signals import LeaveRequest
from training.records.run_log import Run
from training.records.tracking import check_store
from training.run.batch_size import with_fitting_batch
from training.run.known_errors import KNOWN_ERRORS
from training.run.new_contract import with_run_id
from training.run.position import Keeping
from training.run.run_control import RunControl, state_dir, state_to_resume
from training.run.task import Data
from training.run.trainer import Subject, Trainer
from training.tasks import TASKS

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
    """Train on the manifest's train split, keep the best epoch on val, return the checkpoint's path.

    Raises ManifestError if the data do not fit, WeightsError if pretrained weights cannot be had, BackboneError if the
    backbone does not take pictures of that size, ParamsError if a key has no use for the task, if a phase does not fit
    the backbone, if processes cannot share a batch or if nothing can be compiled here, StateError if a state is
    required and there is none, TrackingError if MLflow does not answer, Requeue after `leaving`.
    """
    task = TASKS[params.task]
    task.check(params)
    if worker.is_main:
        check_store()
    if protocol == "group":
        check_no_group_on_two_sides(manifest.table)
    check_every_class_trains(manifest.table, protocol)
    if task.chooses(params):
        check_validation_pictures(manifest.table, protocol)
    train, val = manifest.select("train", protocol), manifest.select("val", protocol)
    params = with_fitting_batch(params, len(train.table), worker.world_size)
    if params.train.compile:
        check_compilation(worker.device)
    torch.manual_seed(params.train.seed)
    model, contract = task.network(manifest, train, params)
    save_results_of_relu6(model)
    model.to(worker.device)
    # From here on each process draws its own dropout: the model above is the same in all.
    torch.manual_seed(params.train.seed + worker.rank)
    data = Data(*task.targets(train, val, contract, params), control.num_workers)
    logger.info("%s", describe(data.train.labels, params.train.sampling))
    states = state_dir(control, manifest, protocol, params, worker)
    state = state_to_resume(states, control.resume, worker)
    checkpoint_path = control.out_dir / CHECKPOINT_FILE
    keeping = Keeping(states, control.save_every_steps, leaving or LeaveRequest())
    tags = {"protocol": protocol, "task": role_of(contract), "git_commit": contract.lineage.git_commit}
    facts = {**params.flat(), "data_sha256": contract.lineage.data_sha256, "weights": contract.lineage.weights}
    with Run(control.out_dir, facts, tags, state["log"] if state else None) if worker.is_main else nullcontext() as run:
        contract = with_run_id(contract, worker.broadcast(run.run_id if run else ""))
        if run:
            save_contact_sheet(data.train, contract.classes, params.train.seed, control.out_dir / CONTACT_SHEET_FILE)
            run.log_artifact(control.out_dir / CONTACT_SHEET_FILE)
        Trainer(Subject(task, model, contract, data, params), worker, run, checkpoint_path, keeping).run(state)
        if run:
            run.log_artifact(checkpoint_path)
            states.clear()
    worker.broadcast("")  # wait for the checkpoint
    return checkpoint_path


def run_fit(
    manifest_path: Path, params_path: Path, control: RunControl, protocol: Protocol, role: Role = "classification"
) -> int:
    """Train, and return the exit status: 2 after an error that the user can mend, 75 if asked to leave and saved."""

    def body(this: Worker, leaving: LeaveRequest) -> None:
        manifest, params = Manifest.read(manifest_path), Params.read(params_path, role)
        with deterministic(params.train.deterministic, this.device):
            fit(manifest, protocol, params, control, this, leaving)

    return exit_status("training", KNOWN_ERRORS, body)
