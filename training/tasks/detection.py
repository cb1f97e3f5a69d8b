"""Find objects and their boxes; a picture's class is read from what was found, by a readout fitted at the end.

No epoch is chosen on validation pictures unless a phase may end early: the phases have a fixed number of steps, and the
last weights are kept. Validation pictures then only give the log's figures, the temperature and the threshold, and may
be missing.
"""

from functools import partial
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from dataset.boxes import objects_of
from dataset.manifest import Manifest, ManifestError
from evaluation.statistics.temperature import fit_temperature
from project.params import ParamsError
from runtime.model.contract import ModelContract
from training.data.cache import create_caches, zoom_of
from training.data.tensors import Batch, TrainingData
from training.network.backbones import check_takes_all
from training.network.centre_points import CentreNetwork, candidates, object_numbers
from training.network.classifier import Classifier, create_backbone
from training.network.losses import Loss
from training.network.pyramid import FINEST_STRIDE, pyramid_levels
from training.params import Params
from training.process.distributed import Worker
from training.run.loop import FloatArray, over_all
from training.run.new_contract import new_contract
from training.run.task import Data, Measured
from training.task_params import DetectionParams
from training.tasks.box_figures import DEFAULT_THRESHOLD, BoxCounts, count_boxes, outcomes
from training.tasks.boxed_pictures import BoxedPictures, BoxViews
from training.tasks.classification import figures_of_classes
from training.tasks.detection_loss import LossWeights, box_loss
from training.tasks.keys_of_classes import refuse_keys_of_classes
from training.tasks.masked_pictures import view_side
from training.tasks.readout import fit_readout

EVALUATION_BATCH_SIZE = 16


def check(params: Params) -> None:
    """Refuse what boxes have no use for: classes weigh alike, by each box of theirs."""
    refuse_keys_of_classes(params)


def chooses(params: Params) -> bool:
    """Tell whether an epoch is chosen: only where a phase may end early."""
    return params.train.early_stopping_epochs > 0


def network(manifest: Manifest, train: Manifest, params: Params) -> tuple[Classifier, ModelContract]:
    """Build the pyramid on a backbone, with a heat map for each object that boxes of the data set hold.

    Raises ManifestError if they hold none, ParamsError if there are fewer cells than `detection.max_boxes`,
    WeightsError, or BackboneError if the backbone gives no feature pyramid.
    """
    backbone, mean, std, origin = create_backbone(params.model, len(manifest.classes))
    objects, own = objects_of(manifest), _settings(params)
    if not objects:
        raise ManifestError(
            "no picture has a box of an object: give boxes or masks (docs/FOLDERS.md), or train a classification"
        )
    if own.objects == "merged":
        objects = (own.merged_name,)
    contract = new_contract(manifest, params, mean, std, origin, objects)
    num_cells = len(objects) * (contract.height // FINEST_STRIDE) * (contract.width // FINEST_STRIDE)
    if own.max_boxes > num_cells:
        raise ParamsError(
            f"detection.max_boxes is {own.max_boxes}, but a picture of {contract.height} x {contract.width} pixels "
            f"has {num_cells} places for boxes: set it to no more"
        )
    levels = pyramid_levels(backbone, own.coarsest_stride)
    centres = CentreNetwork(backbone, levels, own.channels, len(objects), len(contract.classes))
    shares = {1.0, *(phase.view for phase in params.train.phases)}
    views = {(view_side(contract.height, share), view_side(contract.width, share)) for share in shares}
    check_takes_all(params.model.backbone, centres, views)
    return Classifier(centres, mean, std, channels_last=params.train.channels_last), contract


def targets(
    train: Manifest, val: Manifest, contract: ModelContract, params: Params
) -> tuple[BoxedPictures, BoxedPictures]:
    """Return pictures with their boxes."""
    caches = create_caches([train, val], contract, params.train, [zoom_of(params.augment), 1.0])
    views = BoxViews(params, _settings(params))
    pictures = BoxedPictures(train, contract, caches[0], views), BoxedPictures(val, contract, caches[1])
    if chooses(params) and not pictures[1].has_boxes():
        raise ManifestError(
            "no validation picture has a box, and train.early_stopping_epochs goes by F1: set it to 0, "
            "or divide the pictures anew (split.seed)"
        )
    return pictures


def scores(model: Classifier) -> nn.Module:
    """Return the network up to its heat maps and distances."""
    return CellOutputs(model)


def loss(train: TrainingData, contract: ModelContract, params: Params, device: torch.device) -> Loss:
    """Return the focal loss of heat maps plus the error of boxes."""
    own = _settings(params)
    return partial(box_loss, weights=LossWeights(own.box_loss, own.box_weight, own.focal_gamma))


def measure(model: Classifier, data: Data, params: Params, worker: Worker, epoch: int) -> Measured | None:
    """Measure F1 of the boxes where an epoch is to be chosen, and at the end of a phase.

    The end of the last phase is measured by `finish`. F1 is at the threshold that `finish` would choose.
    """
    ends = np.cumsum([phase.num_epochs for phase in params.train.phases]).tolist()
    if not len(data.val) or not (chooses(params) or epoch in ends[:-1]):
        return None
    counts, _ = _validation(model, data, params, worker, f"epoch {epoch} val")
    figures = counts.figures(_threshold(counts, params), cast(BoxedPictures, data.val).objects)
    return Measured(figures, (figures["val_f1"],) if chooses(params) else None)


def finish(
    model: Classifier, data: Data, contract: ModelContract, params: Params, worker: Worker,
    measured: Measured | None,
) -> tuple[ModelContract, dict[str, float]]:  # fmt: skip
    """Fit the readout to training pictures, and to validation pictures, if there are any, all that is left."""
    own, readout = _settings(params), cast(CentreNetwork, model.backbone).readout
    train, val = cast(BoxedPictures, data.train).whole, cast(BoxedPictures, data.val)
    fit_readout(readout, _numbers(model, train, data, worker), train.labels, own.readout_c)
    if not len(val):
        threshold = DEFAULT_THRESHOLD if own.threshold == "auto" else own.threshold
        return contract.model_copy(update={"temperature": 1.0, "threshold": threshold}), {}
    counts, numbers = _validation(model, data, params, worker, "readout")
    with torch.inference_mode():
        logits = readout(torch.from_numpy(numbers).to(worker.device)).cpu()
    mean_loss = float(F.cross_entropy(logits, torch.tensor(val.labels)))
    temperature, threshold = fit_temperature(logits.numpy(), val.labels), _threshold(counts, params)
    figures = figures_of_classes(val.labels, logits.numpy(), mean_loss) | counts.figures(threshold, val.objects)
    return contract.model_copy(update={"temperature": temperature, "threshold": threshold}), figures


class CellOutputs(nn.Module):
    """The network up to heat maps and distances: `(n, height, width, 3)` uint8 to `(n, objects + 4, h, w)`."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images_nhwc: torch.Tensor) -> torch.Tensor:
        centres = cast(CentreNetwork, self.classifier.backbone)
        return centres.cell_outputs(self.classifier.normalise(images_nhwc))


def _settings(params: Params) -> DetectionParams:
    assert params.detection is not None
    return params.detection


def _numbers(model: Classifier, pictures: TrainingData, data: Data, worker: Worker) -> FloatArray:
    """Return `(N, 3 * objects)` of all pictures in order, shared out over the processes."""
    cells = CellOutputs(model).eval()

    def numbers(batch: Batch) -> tuple[torch.Tensor, ...]:
        return (object_numbers(cells(batch.images.to(worker.device))),)

    (found,) = over_all(numbers, pictures, EVALUATION_BATCH_SIZE, worker, "readout", data.num_workers)
    return found


def _validation(
    model: Classifier, data: Data, params: Params, worker: Worker, what: str
) -> tuple[BoxCounts, FloatArray]:
    """Return the candidates of all validation pictures, counted, and the numbers of each, `(N, 3 * objects)`."""
    cells, max_boxes = CellOutputs(model).eval(), _settings(params).max_boxes
    num_objects = len(cast(BoxedPictures, data.val).objects)

    def look(batch: Batch) -> tuple[torch.Tensor, ...]:
        outputs = cells(batch.images.to(worker.device))
        size_px = batch.images.shape[1], batch.images.shape[2]
        found = candidates(outputs, max_boxes, size_px)
        right = outcomes(found, batch.targets)
        return found.scores, found.objects, right, count_boxes(batch.targets, num_objects), object_numbers(outputs)

    *found, numbers = over_all(look, data.val, EVALUATION_BATCH_SIZE, worker, what, data.num_workers)
    return BoxCounts.of(*found), numbers


def _threshold(counts: BoxCounts, params: Params) -> float:
    own = _settings(params).threshold
    return counts.best_threshold() if own == "auto" else own
