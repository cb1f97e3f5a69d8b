"""Train a model with `model.head: mask`: phases on pixels, then the readout from pixels to classes.

Nothing is chosen on validation pictures: the phases have a fixed number of steps, and the last weights are kept.
Validation pictures only give the figures of the log and the temperature, and may be missing.
"""

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import numpy as np
import torch

from dataset.checks import check_every_class_trains, check_no_group_on_two_sides
from dataset.manifest import Manifest, Protocol
from dataset.params import ParamsError
from evaluation.statistics.metrics import confusion_matrix, metrics_of_confusion
from evaluation.statistics.temperature import fit_temperature
from runtime.model.contract import ModelContract
from training.data.tensors import PictureDataset, evaluation_batches
from training.network.backbones import check_takes_all
from training.network.classifier import Classifier, create_backbone
from training.params import Params
from training.process.distributed import Worker
from training.process.signals import LeaveRequest
from training.records.run_log import Run
from training.records.tracking import check_store
from training.run.checkpoint import Checkpoint
from training.run.keeping import Keeping
from training.run.new_contract import new_contract, with_run_id
from training.run.run_control import RunControl, state_dir, state_to_resume
from training.tasks.mask_contact_sheet import save_mask_contact_sheet
from training.tasks.mask_data import MaskedPictures, view_side
from training.tasks.mask_engine import MaskData, MaskEngine
from training.tasks.mask_head import MaskNetwork, defect_numbers, pyramid_levels
from training.tasks.mask_params import MaskParams
from training.tasks.readout import fit_readout

CHECKPOINT_FILE, CONTACT_SHEET_FILE = "checkpoint.pt", "contact_sheet.png"
EVALUATION_BATCH_SIZE = 16
logger = logging.getLogger(__name__)

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def fit_masks(
    manifest: Manifest,
    protocol: Protocol,
    params: Params,
    control: RunControl,
    worker: Worker,
    leaving: LeaveRequest | None = None,
) -> Path:
    """Train on the manifest's train split and return the checkpoint's path.

    Raises ManifestError if the data do not fit or have no masks, WeightsError if pretrained weights cannot be had,
    BackboneError if the backbone gives no feature pyramid, ParamsError if `mask:` is missing or does not fit,
    StateError if a state is required and there is none, TrackingError if MLflow does not answer, Requeue after
    `leaving`.
    """
    settings = _settings(params, worker)
    if worker.is_main:
        check_store()
    if protocol == "group":
        check_no_group_on_two_sides(manifest.table)
    check_every_class_trains(manifest.table, protocol)
    torch.manual_seed(params.train.seed)
    train, val = manifest.select("train", protocol), manifest.select("val", protocol)
    model, contract, pictures, defects = _create(manifest, train, params, settings)
    model.to(worker.device).to(memory_format=torch.channels_last)
    num_workers, checkpoint_path = control.num_workers, control.out_dir / CHECKPOINT_FILE
    readings = _Readings(model, PictureDataset(train, contract), PictureDataset(val, contract), worker, num_workers)
    states = state_dir(control, manifest, protocol, params, worker)
    state = state_to_resume(states, control.resume, worker)
    keeping = Keeping(states, control.save_every_steps, leaving or LeaveRequest())
    tags = {"protocol": protocol, "git_commit": contract.lineage.git_commit}
    facts = {**params.flat(), "data_sha256": contract.lineage.data_sha256, "weights": contract.lineage.weights}
    with Run(control.out_dir, facts, tags, state["log"] if state else None) if worker.is_main else nullcontext() as run:
        contract = with_run_id(contract, worker.broadcast(run.run_id if run else ""))
        if run:
            save_mask_contact_sheet(
                pictures, defects, settings, params.train.seed, control.out_dir / CONTACT_SHEET_FILE
            )
            run.log_artifact(control.out_dir / CONTACT_SHEET_FILE)
        engine = MaskEngine(
            model, MaskData(pictures, defects, num_workers), settings, params.train, worker, run, keeping
        )
        engine.run(state)
        readings.read(settings.readout_c)
        metrics = engine.log_last_epoch(readings.metrics())
        if run:
            contract = contract.model_copy(update={"temperature": readings.temperature()})
            weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
            dump = params.model_dump(mode="json", exclude_none=True)
            Checkpoint(weights, contract, dump, engine.epoch, metrics).save(checkpoint_path)
            run.log_artifact(checkpoint_path)
            states.clear()
    worker.broadcast("")  # wait for the checkpoint
    return checkpoint_path


class _Readings:
    """What the model finds in training and validation pictures, and the readout fitted to the former."""

    def __init__(
        self, model: Classifier, train: PictureDataset, val: PictureDataset, worker: Worker, num_workers: int
    ) -> None:
        self._model, self._train, self._val = model, train, val
        self._worker, self._num_workers = worker, num_workers
        self._val_logits: FloatArray = np.empty((0, 0), dtype=np.float32)

    def read(self, inverse_penalty: float) -> None:
        readout = cast(MaskNetwork, self._model.backbone).readout
        fit_readout(readout, self._numbers(self._train), self._train.labels, inverse_penalty)
        if len(self._val):
            with torch.inference_mode():
                found = torch.from_numpy(self._numbers(self._val)).to(self._worker.device)
                self._val_logits = readout(found).cpu().numpy()

    def metrics(self) -> dict[str, float]:
        """Return cross-entropy and headline figures of the validation pictures; nothing if there are none."""
        if not len(self._val):
            return {}
        labels = torch.tensor(self._val.labels)
        loss = float(torch.nn.functional.cross_entropy(torch.from_numpy(self._val_logits), labels))
        num_classes = self._val_logits.shape[1]
        confusion = confusion_matrix(self._val.labels, self._val_logits.argmax(axis=1), num_classes)
        headline = metrics_of_confusion(confusion).headline()
        return {"val_loss": loss} | {f"val_{name}": value for name, value in headline.items()}

    def temperature(self) -> float:
        """Return the temperature that fits the validation pictures, or 1 without any."""
        return fit_temperature(self._val_logits, self._val.labels) if len(self._val) else 1.0

    @torch.inference_mode()
    def _numbers(self, dataset: PictureDataset) -> FloatArray:
        """Return `(N, 3 * defects)` of all pictures in order, shared out over the processes."""
        worker, model = self._worker, self._model.eval()
        network = cast(MaskNetwork, model.backbone)
        numbers, indices = [], []
        loader = evaluation_batches(dataset, EVALUATION_BATCH_SIZE, worker.rank, worker.world_size, self._num_workers)
        for batch in loader:
            images = model.normalise(batch.images.to(worker.device))
            numbers.append(defect_numbers(network.pixel_logits(images)))
            indices.append(batch.indices)
        empty = torch.empty(0, network.readout.in_features)
        order = worker.gather(torch.cat(indices or [torch.empty(0, dtype=torch.int64)])).argsort()
        found: FloatArray = worker.gather(torch.cat(numbers or [empty]))[order].numpy()
        return found


def _settings(params: Params, worker: Worker) -> MaskParams:
    if params.mask is None:
        raise ParamsError("model.head is mask, but the params have no section 'mask'")
    for phase in params.mask.phases:
        if phase.batch_size % worker.world_size:
            raise ParamsError(
                f"mask.phases has batch_size {phase.batch_size}, which {worker.world_size} processes cannot share "
                f"evenly: use a multiple of {worker.world_size}"
            )
    return params.mask


def _create(
    manifest: Manifest, train: Manifest, params: Params, settings: MaskParams
) -> tuple[Classifier, ModelContract, MaskedPictures, tuple[str, ...]]:
    backbone, mean, std, origin = create_backbone(params.model, len(manifest.classes))
    contract = new_contract(manifest, params, mean, std, origin)
    pictures = MaskedPictures(train, contract)
    defects = pictures.defect_classes()
    levels = pyramid_levels(backbone, settings.coarsest_stride)
    network = MaskNetwork(backbone, levels, settings.channels, len(defects), len(contract.classes))
    sides = contract.height, contract.width
    views = {(view_side(sides[0], share), view_side(sides[1], share)) for share in _shares(settings)}
    check_takes_all(params.model.backbone, network, views)
    return Classifier(network, mean, std), contract, pictures, defects


def _shares(settings: MaskParams) -> set[float]:
    """Return the shares of a picture's sides that the network must take: each phase's views, and the whole picture."""
    return {1.0, *(phase.view for phase in settings.phases)}
