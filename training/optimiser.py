"""Parameter groups and learning rates."""

import math

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from training.model import Classifier
from training.params import TrainParams

WARM_UP_SHARE = 0.1  # of a phase's steps: AdamW's first steps have unsettled moments


def head_only_optimiser(model: Classifier, params: TrainParams) -> AdamW:
    """Freeze the backbone and optimise the head with `head_lr`."""
    model.requires_grad_(False)
    for parameter in model.head_parameters():
        parameter.requires_grad_(True)
    return AdamW(_groups(model.head_parameters(), params.head_lr, params.weight_decay))


def whole_network_optimiser(model: Classifier, params: TrainParams) -> AdamW:
    """Optimise everything: the head with `lr`, the backbone with `lr * backbone_lr_scale`."""
    model.requires_grad_(True)
    head = model.head_parameters()
    in_head = {id(parameter) for parameter in head}
    backbone = [parameter for parameter in model.parameters() if id(parameter) not in in_head]
    backbone_lr = params.lr * params.backbone_lr_scale
    return AdamW(_groups(head, params.lr, params.weight_decay) + _groups(backbone, backbone_lr, params.weight_decay))


def cosine_schedule(optimiser: AdamW, num_steps: int) -> LambdaLR:
    """Warm up linearly over a tenth of the steps, then follow half a cosine down to zero."""
    warm_up = max(1, round(num_steps * WARM_UP_SHARE))

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / (warm_up + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, num_steps - warm_up)))

    return LambdaLR(optimiser, factor)


def _groups(parameters: list[nn.Parameter], lr: float, weight_decay: float) -> list[dict[str, object]]:
    """Split off biases and norms, which take no weight decay."""
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    groups = [(matrices, weight_decay), (vectors, 0.0)]
    return [{"params": members, "lr": lr, "weight_decay": decay} for members, decay in groups if members]
