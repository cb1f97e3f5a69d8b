"""Find regions pixel by pixel; a picture's class is read from what was found, by a readout fitted at the end.

No epoch is chosen on validation pictures unless a phase may end early: the phases have a fixed number of steps, and the
last weights are kept. Validation pictures then only give the log's figures, the temperature, and the threshold and the
smallest part of the answer, and may be missing.
"""

from functools import partial
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from dataset.annotations import regions_of
from dataset.manifest import Manifest, ManifestError
from evaluation.statistics.temperature import fit_temperature
from runtime.model.contract import ModelContract
from training.data.cache import create_caches, zoom_of
from training.data.tensors import Batch, TrainingData
from training.network.backbones import check_takes_all
from training.network.classifier import Classifier, create_backbone
from training.network.losses import Loss
from training.network.pyramid import MaskNetwork, pyramid_levels, region_numbers, region_outputs
from training.params import Params
from training.process.distributed import Worker
from training.run.loop import FloatArray, over_all
from training.run.new_contract import new_contract
from training.run.task import Data, Measured
from training.task_params import SegmentationParams
from training.tasks.classification import figures_of_classes
from training.tasks.keys_of_classes import refuse_keys_of_classes
from training.tasks.masked_pictures import MaskedPictures, Views, view_side
from training.tasks.readout import fit_readout
from training.tasks.region_figures import (
    DEFAULT_THRESHOLD,
    THRESHOLDS,
    RegionCounts,
    best_size,
    count_parts,
    count_pixels,
)
from training.tasks.segmentation_loss import LossWeights, mask_loss

EVALUATION_BATCH_SIZE = 16


def check(params: Params) -> None:
    """Refuse what scores of pixels have no use for: classes are weighed by `segmentation.defect_weight` alone."""
    refuse_keys_of_classes(params)


def chooses(params: Params) -> bool:
    """Tell whether an epoch is chosen: only where a phase may end early."""
    return params.train.early_stopping_epochs > 0


def network(manifest: Manifest, train: Manifest, params: Params) -> tuple[Classifier, ModelContract]:
    """Build the pyramid on a backbone, with one output for each region that masks of the data set mark.

    Raises ManifestError if they mark none, WeightsError, or BackboneError if the backbone gives no feature pyramid.
    """
    backbone, mean, std, origin = create_backbone(params.model, len(manifest.classes))
    regions, own = regions_of(manifest), _settings(params)
    if not regions:
        raise ManifestError(
            "no picture has a mask that marks a region: give masks (docs/FOLDERS.md), or train a classification"
        )
    if own.regions == "merged":
        regions = (own.merged_name,)
    contract = new_contract(manifest, params, mean, std, origin, regions)
    levels = pyramid_levels(backbone, own.coarsest_stride)
    pyramid = MaskNetwork(backbone, levels, own.channels, len(regions), len(contract.classes))
    shares = {1.0, *(phase.view for phase in params.train.phases)}
    views = {(view_side(contract.height, share), view_side(contract.width, share)) for share in shares}
    check_takes_all(params.model.backbone, pyramid, views)
    return Classifier(pyramid, mean, std, channels_last=params.train.channels_last), contract


def targets(
    train: Manifest, val: Manifest, contract: ModelContract, params: Params
) -> tuple[MaskedPictures, MaskedPictures]:
    """Return pictures with their masks."""
    caches = create_caches([train, val], contract, params.train, [zoom_of(params.augment), 1.0])
    views = Views(params, _settings(params))
    pictures = MaskedPictures(train, contract, caches[0], views), MaskedPictures(val, contract, caches[1])
    if chooses(params) and not pictures[1].marks_any():
        raise ManifestError(
            "no validation picture has a mask that marks a region, and train.early_stopping_epochs goes by Dice: set "
            "it to 0, or divide the pictures anew (split.seed)"
        )
    return pictures


def scores(model: Classifier) -> nn.Module:
    """Return the network up to its pixel scores."""
    return PixelScores(model)


def loss(train: TrainingData, contract: ModelContract, params: Params, device: torch.device) -> Loss:
    """Return cross-entropy plus Dice of pixels."""
    own = _settings(params)
    weights = LossWeights(
        own.cross_entropy_weight, own.dice_weight, own.focal_gamma, own.boundary_weight, own.defect_weight,
        own.loss_at == "pixels",
    )  # fmt: skip
    return partial(mask_loss, weights=weights)


def measure(model: Classifier, data: Data, params: Params, worker: Worker, epoch: int) -> Measured | None:
    """Measure Dice and IoU of each region and of all, where an epoch is to be chosen and at the end of a phase.

    The end of the last phase is measured by `finish`. Dice of all is at the threshold that `finish` would choose.
    """
    ends = np.cumsum([phase.num_epochs for phase in params.train.phases]).tolist()
    if not len(data.val) or not (chooses(params) or epoch in ends[:-1]):
        return None
    counts, _ = _validation(model, data, params, worker, f"epoch {epoch} val")
    figures = counts.figures(_threshold(counts, params), cast(MaskedPictures, data.val).regions)
    return Measured(figures, (figures["val_dice"],) if chooses(params) else None)


def finish(
    model: Classifier, data: Data, contract: ModelContract, params: Params, worker: Worker,
    measured: Measured | None,
) -> tuple[ModelContract, dict[str, float]]:  # fmt: skip
    """Fit the readout to training pictures, and to validation pictures, if there are any, all that is left."""
    own, readout = _settings(params), cast(MaskNetwork, model.backbone).readout
    train, val = cast(MaskedPictures, data.train).whole, cast(MaskedPictures, data.val)
    fit_readout(readout, _numbers(model, train, data, worker), train.labels, own.readout_c)
    if not len(val):
        unseen = {
            "temperature": 1.0,
            "threshold": DEFAULT_THRESHOLD if own.threshold == "auto" else own.threshold,
            "min_region_px": 1 if own.min_region_px == "auto" else own.min_region_px,
        }
        return contract.model_copy(update=unseen), {}
    counts, numbers = _validation(model, data, params, worker, "readout")
    with torch.inference_mode():
        logits = readout(torch.from_numpy(numbers).to(worker.device)).cpu()
    mean_loss = float(F.cross_entropy(logits, torch.tensor(val.labels)))
    temperature, threshold = fit_temperature(logits.numpy(), val.labels), _threshold(counts, params)
    figures = figures_of_classes(val.labels, logits.numpy(), mean_loss) | counts.figures(threshold, val.regions)
    stated = own.min_region_px
    smallest = _smallest_part(model, data, threshold, worker) if stated == "auto" else stated
    chosen = {"temperature": temperature, "threshold": threshold, "min_region_px": smallest}
    return contract.model_copy(update=chosen), figures


class PixelScores(nn.Module):
    """The network up to its pixel scores: `(n, height, width, 3)` uint8 to `(n, 1 + regions, h, w)` logits."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images_nhwc: torch.Tensor) -> torch.Tensor:
        pyramid = cast(MaskNetwork, self.classifier.backbone)
        return pyramid.pixel_logits(self.classifier.normalise(images_nhwc))


def _settings(params: Params) -> SegmentationParams:
    assert params.segmentation is not None
    return params.segmentation


def _numbers(model: Classifier, pictures: TrainingData, data: Data, worker: Worker) -> FloatArray:
    """Return `(N, 3 * regions)` of all pictures in order, shared out over the processes."""
    pixels = PixelScores(model).eval()

    def numbers(batch: Batch) -> tuple[torch.Tensor, ...]:
        return (region_numbers(pixels(batch.images.to(worker.device))),)

    (found,) = over_all(numbers, pictures, EVALUATION_BATCH_SIZE, worker, "readout", data.num_workers)
    return found


def _validation(
    model: Classifier, data: Data, params: Params, worker: Worker, what: str
) -> tuple[RegionCounts, FloatArray]:
    """Return the pixels of all validation pictures, counted, and the numbers of each, `(N, 3 * regions)`."""
    pixels, own = PixelScores(model).eval(), _settings(params)
    grid = THRESHOLDS if own.threshold == "auto" else (own.threshold,)

    def look(batch: Batch) -> tuple[torch.Tensor, ...]:
        logits, masks = pixels(batch.images.to(worker.device)), batch.targets.to(worker.device)
        region_map, foreground = region_outputs(logits, (masks.shape[1], masks.shape[2]))
        counts = count_pixels(region_map, foreground, masks, logits.shape[1] - 1, grid)
        return counts, region_numbers(logits)

    counts, numbers = over_all(look, data.val, EVALUATION_BATCH_SIZE, worker, what, data.num_workers)
    return RegionCounts.of(counts, grid), numbers


def _threshold(counts: RegionCounts, params: Params) -> float:
    own = _settings(params).threshold
    return counts.best_threshold() if own == "auto" else own


def _smallest_part(model: Classifier, data: Data, threshold: float, worker: Worker) -> int:
    """Return the smallest part that answers shall keep, by validation pictures."""
    pixels = PixelScores(model).eval()

    def look(batch: Batch) -> tuple[torch.Tensor, ...]:
        masks = batch.targets.numpy()
        region_map, foreground = region_outputs(pixels(batch.images.to(worker.device)), masks.shape[1:])
        answers = torch.where(foreground >= threshold, region_map, 0).cpu().numpy()
        parts = [count_parts(answer, mask) for answer, mask in zip(answers, masks, strict=True)]
        return (torch.from_numpy(np.stack(parts)),)

    (counts,) = over_all(look, data.val, EVALUATION_BATCH_SIZE, worker, "smallest part", data.num_workers)
    return best_size(counts)
