"""What tasks share whose network is a pyramid: no epoch need be chosen, and classes are read from what cells tell."""

from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from evaluation.statistics.temperature import fit_temperature
from runtime.model.contract import ModelContract
from training.data.tensors import Batch, TrainingData
from training.network.backbones import check_takes_all
from training.network.classifier import Classifier
from training.network.pyramid import PyramidNetwork
from training.params import Params
from training.process.distributed import Worker
from training.run.loop import FloatArray, over_all
from training.run.task import Data
from training.tasks.classification import figures_of_classes
from training.tasks.masked_pictures import view_side
from training.tasks.readout import fit_readout

EVALUATION_BATCH_SIZE = 16


class CellOutputs(nn.Module):
    """The network without its readout: `(n, height, width, 3)` uint8 to outputs of cells, `(n, num_outputs, h, w)`."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images_nhwc: torch.Tensor) -> torch.Tensor:
        return pyramid_of(self.classifier).cell_outputs(self.classifier.normalise(images_nhwc))


def pyramid_of(model: Classifier) -> PyramidNetwork:
    """Return the network inside a model of such a task."""
    return cast(PyramidNetwork, model.backbone)


def chooses(params: Params) -> bool:
    """Tell whether an epoch is chosen: only where a phase may end early."""
    return params.train.early_stopping_epochs > 0


def is_measured(data: Data, params: Params, epoch: int) -> bool:
    """Tell whether `measure` looks at validation pictures: of an epoch that may be chosen, and at the end of a phase.

    The end of the last phase is left to `finish`.
    """
    ends = np.cumsum([phase.num_epochs for phase in params.train.phases]).tolist()
    return len(data.val) > 0 and (chooses(params) or epoch in ends[:-1])


def check_takes_views(pyramid: PyramidNetwork, contract: ModelContract, params: Params) -> None:
    """Raise BackboneError if the network does not take the whole picture, or the view of a phase."""
    shares = {1.0, *(phase.view for phase in params.train.phases)}
    views = {(view_side(contract.height, share), view_side(contract.width, share)) for share in shares}
    check_takes_all(params.model.backbone, pyramid, views)


def fit_to_pictures(
    model: Classifier, pictures: TrainingData, inverse_penalty: float, data: Data, worker: Worker
) -> None:
    """Fit the readout to what the trained network finds in pictures, shared out over the processes."""
    cells, network = CellOutputs(model).eval(), pyramid_of(model)

    def numbers(batch: Batch) -> tuple[torch.Tensor, ...]:
        return (network.sum_up(cells(batch.images.to(worker.device))),)

    (found,) = over_all(numbers, pictures, EVALUATION_BATCH_SIZE, worker, "readout", data.num_workers)
    fit_readout(network.readout, found, pictures.labels, inverse_penalty)


def read_classes(
    model: Classifier, numbers: FloatArray, labels: list[int], worker: Worker
) -> tuple[float, dict[str, float]]:
    """Return the temperature of the readout's classes, and their figures; numbers: `(N, num_numbers)` of pictures."""
    with torch.inference_mode():
        logits = pyramid_of(model).readout(torch.from_numpy(numbers).to(worker.device)).cpu()
    mean_loss = float(F.cross_entropy(logits, torch.tensor(labels)))
    return fit_temperature(logits.numpy(), labels), figures_of_classes(labels, logits.numpy(), mean_loss)
