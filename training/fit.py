"""From a manifest to the best checkpoint: the run as a whole, the same for one process and for many."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW

from dataset.checks import check_no_group_on_two_sides
from dataset.manifest import Manifest, Protocol
from evaluation.metrics import confusion_matrix, metrics_of_confusion
from evaluation.temperature import fit_temperature
from runtime.contract import Lineage, ModelContract
from training.checkpoint import Checkpoint
from training.contact_sheet import save_contact_sheet
from training.data import PictureDataset, check_batch_size
from training.distributed import Worker
from training.lineage import git_commit
from training.loop import Outputs, run_model, train_one_epoch
from training.losses import Loss, class_weights, classifier_loss
from training.model import Classifier, create_backbone
from training.optimiser import cosine_schedule, head_only_optimiser, whole_network_optimiser
from training.params import Params
from training.pictures import training_pictures, validation_pictures
from training.sampling import describe, expected_counts
from training.tracking import Run

CHECKPOINT_FILE = "checkpoint.pt"
CONTACT_SHEET_FILE = "contact_sheet.png"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phase:
    """Some epochs with one optimiser: `head_only`, or the whole network."""

    head_only: bool
    num_epochs: int


def fit(
    manifest: Manifest, protocol: Protocol, params: Params, out_dir: Path, worker: Worker, num_workers: int = 0
) -> Path:
    """Train on the manifest's train split, keep the epoch with the best macro-F1 on val, return the checkpoint's path.

    Raises ManifestError if the data do not fit, WeightsError if pretrained weights cannot be had.
    """
    if protocol == "group":
        check_no_group_on_two_sides(manifest.table)
    train, val = manifest.select("train", protocol), manifest.select("val", protocol)
    check_batch_size(len(train.table), params.train.batch_size, worker.world_size, params.augment.mixes)
    torch.manual_seed(params.train.seed)
    model, contract = _create(manifest, params)
    model.to(worker.device)
    num_epochs = params.train.head_epochs + params.train.epochs
    data = _Data(
        training_pictures(train, contract, params, num_epochs), validation_pictures(val, contract, params), num_workers
    )
    checkpoint_path = out_dir / CHECKPOINT_FILE
    if not worker.is_main:
        contract = _with_run_id(contract, worker.broadcast(""))
        _Fitting(model, contract, data, params, worker, None, checkpoint_path).run()
        worker.broadcast("")  # wait for the checkpoint
        return checkpoint_path
    tags = {"protocol": protocol, "git_commit": contract.lineage.git_commit}
    facts = {**params.flat(), "data_sha256": contract.lineage.data_sha256, "weights": contract.lineage.weights}
    with Run(out_dir, facts, tags) as run:
        contract = _with_run_id(contract, worker.broadcast(run.run_id))
        save_contact_sheet(data.train, contract.classes, params.train.seed, out_dir / CONTACT_SHEET_FILE)
        run.log_artifact(out_dir / CONTACT_SHEET_FILE)
        _Fitting(model, contract, data, params, worker, run, checkpoint_path).run()
        run.log_artifact(checkpoint_path)
    worker.broadcast("")
    return checkpoint_path


@dataclass(frozen=True)
class _Data:
    train: PictureDataset
    val: PictureDataset
    num_workers: int


@dataclass
class _Fitting:
    """The state of one run: what is trained, and the best epoch so far."""

    model: Classifier
    contract: ModelContract
    data: _Data
    params: Params
    worker: Worker
    run_log: Run | None  # of the main process only
    checkpoint_path: Path
    best: tuple[float, float] = (-1.0, float("-inf"))  # macro-F1, then minus the loss for ties

    def run(self) -> None:
        loss_function = self._loss()
        epoch = 0
        for phase in _phases(self.params):
            network = self._network(phase)
            optimiser = self._optimiser(phase)
            schedule = cosine_schedule(optimiser, phase.num_epochs * self._num_steps)
            for _ in range(phase.num_epochs):
                epoch += 1
                loss = train_one_epoch(
                    network, self.data.train, optimiser, schedule, loss_function, self.params.train, self.worker, epoch,
                    self.data.num_workers,
                )  # fmt: skip
                outputs = run_model(
                    self.model, self.data.val, self.params.train.batch_size, self.worker, f"epoch {epoch} val",
                    self.data.num_workers,
                )  # fmt: skip
                self._finish_epoch(epoch, loss, outputs)

    @property
    def _num_steps(self) -> int:
        return len(self.data.train) // self.params.train.batch_size

    def _loss(self) -> Loss:
        labels, params = self.data.train.labels, self.params.train
        logger.info("%s", describe(labels, params.sampling))
        counts = expected_counts(labels, len(self.contract.classes), params.sampling)
        weights = class_weights(counts, params.class_weighting, params.class_weight_power, params.effective_number_beta)
        return classifier_loss(params.loss, weights.to(self.worker.device), params.label_smoothing, params.focal_gamma)

    def _optimiser(self, phase: Phase) -> AdamW:
        make = head_only_optimiser if phase.head_only else whole_network_optimiser
        return make(self.model, self.params.train)

    def _network(self, phase: Phase) -> nn.Module:
        """Wrap for gradient averaging; anew in each phase, since DDP looks at requires_grad only once."""
        self.model.requires_grad_(not phase.head_only)
        for parameter in self.model.head_parameters():
            parameter.requires_grad_(True)
        if self.worker.world_size == 1:
            return self.model
        # Buffers are BatchNorm's frozen statistics and the normalisation: equal everywhere, never changed.
        return DistributedDataParallel(self.model, broadcast_buffers=False)

    def _finish_epoch(self, epoch: int, train_loss: float, outputs: Outputs) -> None:
        metrics = {"train_loss": train_loss, "val_loss": float(outputs.losses.mean())}
        predicted = outputs.logits.argmax(axis=1)
        confusion = confusion_matrix(self.data.val.labels, predicted, len(self.contract.classes))
        metrics |= {f"val_{name}": value for name, value in metrics_of_confusion(confusion).headline().items()}
        rank = (metrics["val_macro_f1"], -metrics["val_loss"])
        is_best = rank > self.best
        if is_best:
            self.best = rank
        if self.run_log is None:
            return
        self.run_log.log_epoch(epoch, metrics)
        if is_best:
            state = {name: tensor.detach().cpu() for name, tensor in self.model.state_dict().items()}
            temperature = fit_temperature(outputs.logits, self.data.val.labels)
            contract = self.contract.model_copy(update={"temperature": temperature})
            Checkpoint(state, contract, self.params.model_dump(), epoch, metrics).save(self.checkpoint_path)
        figures = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        logger.info("epoch %d: %s%s", epoch, figures, " (best so far)" if is_best else "")


def _phases(params: Params) -> Iterator[Phase]:
    if params.train.head_epochs:
        yield Phase(head_only=True, num_epochs=params.train.head_epochs)
    if params.train.epochs:
        yield Phase(head_only=False, num_epochs=params.train.epochs)


def _create(manifest: Manifest, params: Params) -> tuple[Classifier, ModelContract]:
    backbone, mean, std, origin = create_backbone(params.model, len(manifest.classes))
    lineage = Lineage(
        git_commit=git_commit(Path()), data_sha256=manifest.sha256, backbone=params.model.backbone, weights=origin
    )
    contract = ModelContract(
        classes=manifest.classes, mean=mean, std=std, lineage=lineage, **params.contract.model_dump()
    )
    return Classifier(backbone, mean, std), contract


def _with_run_id(contract: ModelContract, run_id: str) -> ModelContract:
    lineage = contract.lineage.model_copy(update={"mlflow_run_id": run_id})
    return contract.model_copy(update={"lineage": lineage})
