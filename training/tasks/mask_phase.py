"""One phase of mask training: what it trains and at which rates, what it sees, and how a batch changes the weights."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from timm.models import group_parameters
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from training.data.tensors import one_ahead
from training.network.classifier import Classifier
from training.process.distributed import Worker
from training.tasks.mask_data import Draw, MaskedPictures, TrainingViews, Views, balanced_draws, view_loader
from training.tasks.mask_head import MaskNetwork
from training.tasks.mask_loss import mask_loss
from training.tasks.mask_params import MaskParams, MaskPhase


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


class MaskLearner:
    """The model with the optimiser and the one-cycle schedule of one phase."""

    def __init__(
        self, model: Classifier, phase: MaskPhase, params: MaskParams, weight_decay: float, worker: Worker
    ) -> None:
        model.train()
        freeze(model, params.frozen_groups)
        self._params, self._worker = params, worker
        self._scores: nn.Module = PixelScores(model)
        if worker.world_size > 1:
            self._scores = DistributedDataParallel(self._scores, broadcast_buffers=False)
        self._optimiser = _optimiser(model, params, phase, weight_decay)
        rates = [group["lr"] for group in self._optimiser.param_groups]
        self._schedule = OneCycleLR(self._optimiser, rates, total_steps=phase.steps)
        self._trained = [p for p in model.parameters() if p.requires_grad]

    @property
    def lr(self) -> float:
        """The pyramid's rate, the highest, for the next step."""
        return max(float(group["lr"]) for group in self._optimiser.param_groups)

    def state(self) -> dict[str, Any]:
        """Return what optimiser and schedule have gathered, for `restore`."""
        return {"optimiser": self._optimiser.state_dict(), "schedule": self._schedule.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])

    def step(self, batch: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """Change the weights by this process's share of a batch; return its mean loss and the gradient's norm."""
        self._optimiser.zero_grad(set_to_none=True)
        device = self._worker.device
        loss = mask_loss(self._scores(batch.images.to(device)), batch.masks.to(device), self._params.defect_weight)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.get_total_norm([p.grad for p in self._trained if p.grad is not None])
        self._optimiser.step()
        self._schedule.step()
        return loss.detach(), norm


def phase_batches(
    pictures: MaskedPictures,
    defects: tuple[str, ...],
    params: MaskParams,
    index: int,
    seed: int,
    first_step: int,
    worker: Worker,
    num_workers: int,
) -> Iterator[Views]:
    """Yield this process's batches of phase number `index` from step `first_step` on, counted from 0."""
    phase = params.phases[index]
    own_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    drawn = balanced_draws(pictures.labels, pictures.groups, phase.steps * phase.batch_size, own_seed)
    draws = _share(drawn[first_step * phase.batch_size :], phase, worker)
    views = TrainingViews(pictures, defects, draws, phase, params)
    if not draws:
        return iter(())
    batches = iter(view_loader(views, phase.batch_size // worker.world_size, num_workers))
    return batches if num_workers else one_ahead(batches)


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
