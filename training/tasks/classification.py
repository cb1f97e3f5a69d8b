"""Tell a picture's class by a linear layer on the backbone's features."""

import torch
from torch import nn

from dataset.manifest import Manifest
from evaluation.statistics.metrics import confusion_matrix, metrics_of_confusion
from evaluation.statistics.temperature import fit_temperature
from project.params import ParamsError
from runtime.model.contract import ModelContract
from training.data.pictures import pictures_of_run
from training.data.tensors import TrainingData
from training.network.classifier import Classifier, create_backbone
from training.network.losses import Loss, training_loss
from training.params import Params
from training.process.distributed import Worker
from training.run.loop import FloatArray, run_model
from training.run.new_contract import new_contract
from training.run.task import Data, Measured


def check(params: Params) -> None:
    """Refuse views: a part of the picture need not show what its class is."""
    for i, phase in enumerate(params.train.phases):
        if phase.view < 1:
            raise ParamsError(
                f"train.phases.{i}.view is {phase.view}, but classification needs the whole picture to tell its "
                "class: set it to 1, or crop by augment.crop_min_area"
            )


def chooses(params: Params) -> bool:
    """Tell that the best epoch on validation pictures is kept."""
    return True


def network(manifest: Manifest, train: Manifest, params: Params) -> tuple[Classifier, ModelContract]:
    """Build the backbone with a fresh linear layer. Raises WeightsError, BackboneError."""
    backbone, mean, std, origin = create_backbone(
        params.model, len(manifest.classes), (params.contract.height, params.contract.width)
    )
    contract = new_contract(manifest, params, mean, std, origin)
    return Classifier(backbone, mean, std, channels_last=params.train.channels_last), contract


def targets(
    train: Manifest, val: Manifest, contract: ModelContract, params: Params
) -> tuple[TrainingData, TrainingData]:
    """Return pictures with one-hot classes."""
    return pictures_of_run(train, val, contract, params, params.train.num_epochs)


def scores(model: Classifier) -> nn.Module:
    """Return the model: its logits are compared with classes."""
    return model


def loss(train: TrainingData, contract: ModelContract, params: Params, device: torch.device) -> Loss:
    """Return what `train.loss` names."""
    return training_loss(train.labels, len(contract.classes), params.train, device)


def measure(model: Classifier, data: Data, params: Params, worker: Worker, epoch: int) -> Measured:
    """Measure macro-F1, ties broken by the loss, and the other headline figures."""
    outputs = run_model(model, data.val, params.train.batch_size, worker, f"epoch {epoch} val", data.num_workers)
    figures = figures_of_classes(data.val.labels, outputs.logits, float(outputs.losses.mean()))
    return Measured(figures, (figures["val_macro_f1"], -figures["val_loss"]), outputs.logits)


def finish(
    model: Classifier, data: Data, contract: ModelContract, params: Params, worker: Worker,
    measured: Measured | None,
) -> tuple[ModelContract, dict[str, float]]:  # fmt: skip
    """Fit the temperature to validation pictures."""
    assert measured is not None
    assert measured.logits is not None
    temperature = fit_temperature(measured.logits, data.val.labels)
    return contract.model_copy(update={"temperature": temperature}), {}


def figures_of_classes(labels: list[int], logits: FloatArray, mean_loss: float) -> dict[str, float]:
    """Return the loss and headline figures of validation pictures under the names that are logged."""
    confusion = confusion_matrix(labels, logits.argmax(axis=1), logits.shape[1])
    headline = metrics_of_confusion(confusion).headline()
    return {"val_loss": mean_loss, **{f"val_{name}": value for name, value in headline.items()}}
