"""The loop of mask training: one phase of steps on views of one size."""

import logging
from typing import Any, cast

import numpy as np
import torch
from timm.models import group_parameters
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from training.distributed import Worker
from training.mask_data import Draw, MaskedPictures, TrainingViews, balanced_draws, view_loader
from training.mask_head import MaskNetwork
from training.mask_loss import mask_loss
from training.mask_params import MaskParams, MaskPhase
from training.model import Classifier
from training.params import TrainParams

LOG_EVERY_STEPS = 50
logger = logging.getLogger(__name__)


class PixelScores(nn.Module):
    """The network up to its pixel scores: `(n, height, width, 3)` uint8 to `(n, 1 + defects, h, w)` logits."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images_nhwc: torch.Tensor) -> torch.Tensor:
        network = cast(MaskNetwork, self.classifier.backbone)
        return network.pixel_logits(self.classifier.normalise(images_nhwc))


def freeze(model: Classifier, num_groups: int) -> None:
    """Let all be trained but the readout, which is fitted, and the first layers: timm's coarse groups, stem first."""
    network = cast(MaskNetwork, model.backbone)
    model.requires_grad_(True)
    network.readout.requires_grad_(False)
    matcher = cast("Any", network.pyramid).group_matcher(coarse=True)
    groups = group_parameters(network.pyramid, matcher)
    frozen = {name for layer in sorted(groups)[:num_groups] for name in groups[layer]}
    for name, parameter in network.pyramid.named_parameters():
        parameter.requires_grad_(name not in frozen)


def train_phase(
    model: Classifier,
    pictures: MaskedPictures,
    defects: tuple[str, ...],
    phase: MaskPhase,
    params: MaskParams,
    train_params: TrainParams,
    index: int,
    worker: Worker,
    num_workers: int = 0,
) -> float:
    """Optimise over the steps of phase number `index`; return this process's mean loss over the last tenth of them.

    Raises FloatingPointError if the loss is no number any more.
    """
    model.train()
    freeze(model, params.frozen_groups)
    scores: nn.Module = PixelScores(model)
    if worker.world_size > 1:
        scores = DistributedDataParallel(scores, broadcast_buffers=False)
    seed = int(np.random.SeedSequence([train_params.seed, index]).generate_state(1)[0])
    draws = _share(
        balanced_draws(pictures.labels, pictures.groups, phase.steps * phase.batch_size, seed), phase, worker
    )
    views = TrainingViews(pictures, defects, draws, phase, params)
    optimiser = _optimiser(model, params, phase, train_params.weight_decay)
    schedule = OneCycleLR(optimiser, [group["lr"] for group in optimiser.param_groups], total_steps=phase.steps)
    losses = []
    loader = view_loader(views, phase.batch_size // worker.world_size, num_workers)
    for images, masks in tqdm(
        loader, f"masks, view {phase.view}", phase.steps, disable=not worker.is_main, leave=False
    ):
        optimiser.zero_grad(set_to_none=True)
        loss = mask_loss(scores(images.to(worker.device)), masks.to(worker.device), params.defect_weight)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        losses.append(loss.detach())
        if worker.is_main and len(losses) % LOG_EVERY_STEPS == 0:
            recent = float(torch.stack(losses[-LOG_EVERY_STEPS:]).mean())
            logger.info("view %.2f, step %d of %d: mask loss %.4f", phase.view, len(losses), phase.steps, recent)
    mean = float(torch.stack(losses[-max(1, phase.steps // 10) :]).mean())
    if not mean < float("inf"):
        raise FloatingPointError(f"the mask loss is {mean} after {phase.steps} steps: lower mask.lr")
    return mean


def _share(draws: list[Draw], phase: MaskPhase, worker: Worker) -> list[Draw]:
    """Return this process's draws: an equal part of every batch, so that their number does not change a batch."""
    share = phase.batch_size // worker.world_size
    first = worker.rank * share
    return [draw for i, draw in enumerate(draws) if first <= i % phase.batch_size < first + share]


def _optimiser(model: Classifier, params: MaskParams, phase: MaskPhase, weight_decay: float) -> AdamW:
    network = cast(MaskNetwork, model.backbone)
    groups = []
    for module, scale in ((network.decoder, 1.0), (network.pyramid, params.backbone_lr_scale)):
        for group in param_groups_weight_decay(module, weight_decay):
            groups.append({**group, "lr": params.lr * phase.lr_scale * scale})
    return AdamW(groups)
