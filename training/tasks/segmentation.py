"""Find regions pixel by pixel; a picture's class is read from what was found, by a readout fitted at the end.

Nothing is chosen on validation pictures unless a phase may end early: the phases have a fixed number of steps, and the
last weights are kept. Validation pictures then only give the log's figures and the temperature, and may be missing.
"""

from functools import partial
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from dataset.annotations import regions_of
from dataset.manifest import Manifest, ManifestError
from evaluation.statistics.temperature import fit_temperature
from project.params import ParamsError
from runtime.model.contract import ModelContract
from training.data.cache import create_caches, zoom_of
from training.data.tensors import Batch, TrainingData
from training.network.backbones import check_takes_all
from training.network.classifier import Classifier, create_backbone
from training.network.losses import Loss, dice_loss
from training.network.pyramid import MaskNetwork, pyramid_levels, region_numbers
from training.params import Params
from training.process.distributed import Worker
from training.run.loop import FloatArray, over_all
from training.run.new_contract import new_contract
from training.run.task import Data, Measured
from training.segmentation_params import SegmentationParams
from training.tasks.classification import figures_of_classes
from training.tasks.masked_pictures import MaskedPictures, Views, view_side
from training.tasks.readout import fit_readout
from training.tasks.segmentation_loss import IGNORED, mask_loss

EVALUATION_BATCH_SIZE = 16
# Keys that pixels have no use for, with what switches them off. Others that matter only beside these need no entry.
OFF: dict[str, object] = {
    "model.drop_rate": 0, "train.loss": "cross_entropy", "train.label_smoothing": 0, "train.class_weighting": "power",
    "train.class_weight_power": 0, "augment.mixup_alpha": 0, "augment.cutmix_alpha": 0,
}  # fmt: skip


def check(params: Params) -> None:
    """Refuse what scores of pixels have no use for: classes are weighed by `segmentation.defect_weight` alone."""
    _settings(params)
    for key, off in OFF.items():
        section, name = key.split(".")
        if (value := getattr(getattr(params, section), name)) != off:
            raise ParamsError(f"{key} is {value}, which segmentation has no use for: set segmentation.{key} to {off}")


def chooses(params: Params) -> bool:
    """Tell whether an epoch is chosen: only where a phase may end early."""
    return params.train.early_stopping_epochs > 0


def network(manifest: Manifest, train: Manifest, params: Params) -> tuple[Classifier, ModelContract]:
    """Build the pyramid on a backbone, with one output for each region that masks of the data set mark.

    Raises ManifestError if they mark none, WeightsError, or BackboneError if the backbone gives no feature pyramid.
    """
    settings = _settings(params)
    backbone, mean, std, origin = create_backbone(params.model, len(manifest.classes))
    regions = regions_of(manifest)
    if not regions:
        raise ManifestError(
            "no picture has a mask that marks a region: give masks (docs/FOLDERS.md), or train a classification"
        )
    contract = new_contract(manifest, params, mean, std, origin, regions)
    levels = pyramid_levels(backbone, settings.coarsest_stride)
    pyramid = MaskNetwork(backbone, levels, settings.channels, len(regions), len(contract.classes))
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
    return MaskedPictures(train, contract, caches[0], views), MaskedPictures(val, contract, caches[1])


def scores(model: Classifier) -> nn.Module:
    """Return the network up to its pixel scores."""
    return PixelScores(model)


def loss(train: TrainingData, contract: ModelContract, params: Params, device: torch.device) -> Loss:
    """Return cross-entropy plus Dice of pixels."""
    return partial(mask_loss, defect_weight=_settings(params).defect_weight)


def measure(model: Classifier, data: Data, params: Params, worker: Worker, epoch: int) -> Measured | None:
    """Measure soft Dice, the mean over validation pictures and defects, where an epoch is to be chosen."""
    if not chooses(params):
        return None
    pixels = PixelScores(model).eval()

    def dice(batch: Batch) -> tuple[torch.Tensor, ...]:
        return (_dice(pixels(batch.images.to(worker.device)), batch.targets.to(worker.device)),)

    (found,) = over_all(dice, data.val, EVALUATION_BATCH_SIZE, worker, f"epoch {epoch} val", data.num_workers)
    mean = float(found.mean())
    return Measured({"val_dice": mean}, (mean,))


def finish(
    model: Classifier, data: Data, contract: ModelContract, params: Params, worker: Worker,
    measured: Measured | None,
) -> tuple[ModelContract, dict[str, float]]:  # fmt: skip
    """Fit the readout to training pictures, and the temperature to validation pictures, if there are any."""
    readout = cast(MaskNetwork, model.backbone).readout
    train, val = cast(MaskedPictures, data.train).whole, cast(MaskedPictures, data.val).whole
    fit_readout(readout, _numbers(model, train, data, worker), train.labels, _settings(params).readout_c)
    if not len(val):
        return contract.model_copy(update={"temperature": 1.0}), {}
    with torch.inference_mode():
        logits = readout(torch.from_numpy(_numbers(model, val, data, worker)).to(worker.device)).cpu()
    mean_loss = float(F.cross_entropy(logits, torch.tensor(val.labels)))
    temperature = fit_temperature(logits.numpy(), val.labels)
    figures = figures_of_classes(val.labels, logits.numpy(), mean_loss)
    return contract.model_copy(update={"temperature": temperature}), figures


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


def _dice(pixel_logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Return `(n,)` Dice coefficients of the defects, cells as `mask_loss` sees them."""
    cells = F.adaptive_max_pool2d(masks.float().unsqueeze(1), pixel_logits.shape[-2:]).long()
    known = cells != IGNORED
    there = F.one_hot(torch.where(known, cells, 0).squeeze(1), pixel_logits.shape[1]).permute(0, 3, 1, 2)
    found = pixel_logits.float().softmax(dim=1)
    losses = [dice_loss(f[None, 1:], t[None, 1:], k[None]) for f, t, k in zip(found, there, known, strict=True)]
    return 1 - torch.stack(losses)
