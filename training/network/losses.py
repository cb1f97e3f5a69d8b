"""What training minimises. Every loss takes soft targets, so that smoothing and mixed pictures need no second form.

Means are over pictures and never over weights (PyTorch's own choice), so that the average over processes is the value
of the whole batch.
"""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from training.batch_params import ClassWeighting, LossName
from training.data.sampling import expected_counts
from training.params import TrainParams

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
EPSILON = 1e-6  # where a power or a quotient would have no value or gradient at 0


def one_hot(labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return `(n, num_classes)` float32 targets of `(n,)` int64 labels."""
    return F.one_hot(labels, num_classes).float()


def smooth_targets(targets: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Give `smoothing` of each row's mass to all classes alike; `(n, C)`, rows sum to 1 (Szegedy et al. 2016)."""
    return targets * (1 - smoothing) + smoothing / targets.shape[1]


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, smoothing: float = 0.0
) -> torch.Tensor:
    """Mean over pictures of weight * cross-entropy with smoothed targets, a scalar.

    logits, targets: `(n, C)`, rows of targets sum to 1. weights: `(C,)`; a picture's weight is that of its classes in
    the proportion of its targets before smoothing.
    """
    log_probs = F.log_softmax(logits, dim=1)
    losses = -(smooth_targets(targets, smoothing) * log_probs).sum(dim=1)
    return (losses * (targets @ weights)).mean()


def focal(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, gamma: float, smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy in which each class's term is scaled by `(1 - p) ** gamma`: what is known already counts little.

    Shapes as for `cross_entropy`, which it equals at gamma 0. Source: Lin et al. 2017, eq. 4.
    """
    log_probs = F.log_softmax(logits, dim=1)
    # 1 - p as a sum of the others would be exact; clamping keeps the gradient of the power finite where p rounds to 1.
    far = (1 - log_probs.exp()).clamp_min(EPSILON) ** gamma
    losses = -(smooth_targets(targets, smoothing) * far * log_probs).sum(dim=1)
    return (losses * (targets @ weights)).mean()


def binary_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, smoothing: float = 0.0
) -> torch.Tensor:
    """Every class a yes-or-no question of its own: mean over pictures of weight * mean over questions, a scalar.

    logits, targets: `(n, C)`, targets in [0, 1]; rows may sum to anything, as those of several labels or none do.
    weights: `(C,)`; a picture's weight is the mean of its classes', in proportion to its targets before smoothing, and
    1 if it has no class at all. Weighting a class's question instead would weigh its positives and its negatives alike
    and balance nothing (Cui et al. 2019 weigh by the picture's class too). Smoothing moves a target towards 1/2.
    """
    soft = targets * (1 - smoothing) + smoothing / 2
    losses = F.binary_cross_entropy_with_logits(logits, soft, reduction="none").mean(dim=1)
    total = targets.sum(dim=1)
    picture_weights = torch.where(total > 0, targets @ weights / total.clamp_min(EPSILON), 1.0)
    return (losses * picture_weights).mean()


def dice_loss(probs: torch.Tensor, targets: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    """1 minus the soft Dice coefficient, mean over pictures and classes, a scalar in [0, 1].

    probs, targets: `(n, C, height, width)` in [0, 1]. valid: `(n, 1, height, width)`, 0 where a pixel does not count.
    A class absent from both counts as perfect. Source: Milletari et al. 2016, without squares in the denominator.
    """
    overlap, total = _regions(probs, targets, valid)
    return (1 - (2 * overlap + EPSILON) / (total + EPSILON)).mean()


def iou_loss(probs: torch.Tensor, targets: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    """1 minus the soft intersection over union, mean over pictures and classes; arguments as for `dice_loss`."""
    overlap, total = _regions(probs, targets, valid)
    return (1 - (overlap + EPSILON) / (total - overlap + EPSILON)).mean()


def smooth_l1(predicted: torch.Tensor, target: torch.Tensor, beta: float = 1.0) -> torch.Tensor:
    """Mean over the last axis of `d**2 / (2 beta)` where `d = |predicted - target|` is below beta, else `d - beta / 2`.

    predicted, target: `(..., k)`, for boxes their four sides. Returns `(...)`. Source: Girshick 2015, eq. 3.
    """
    return F.smooth_l1_loss(predicted, target, beta=beta, reduction="none").mean(dim=-1)


def class_weights(counts: Sequence[float], rule: ClassWeighting, power: float = 0.0, beta: float = 0.0) -> torch.Tensor:
    """Return `(C,)` loss weights, scaled so that their mean over pictures is 1.

    counts: how often each class is drawn in an epoch. `power`: `(1 / count) ** power`, 0 unweighted, 1 balanced.
    `effective_number`: `(1 - beta) / (1 - beta ** count)`, Cui et al. 2019.
    Raises ValueError if a class is never drawn: its weight would be infinite.
    """
    drawn = torch.tensor(counts, dtype=torch.float64)
    if (drawn == 0).any():
        raise ValueError(f"class(es) {torch.where(drawn == 0)[0].tolist()} have no training picture")
    weights = drawn**-power if rule == "power" else (1 - beta) / (1 - beta**drawn)
    return (weights * drawn.sum() / (weights * drawn).sum()).float()


def classifier_loss(name: LossName, weights: torch.Tensor, smoothing: float, focal_gamma: float) -> Loss:
    """Return the function of (logits, targets) that `train.loss` names."""
    if name == "cross_entropy":
        return lambda logits, targets: cross_entropy(logits, targets, weights, smoothing)
    if name == "focal":
        return lambda logits, targets: focal(logits, targets, weights, focal_gamma, smoothing)
    return lambda logits, targets: binary_cross_entropy(logits, targets, weights, smoothing)


def training_loss(labels: Sequence[int], num_classes: int, params: TrainParams, device: torch.device) -> Loss:
    """Return the loss that training minimises on pictures with these labels, weighted by how often each is drawn."""
    counts = expected_counts(labels, num_classes, params.sampling)
    weights = class_weights(counts, params.class_weighting, params.class_weight_power, params.effective_number_beta)
    return classifier_loss(params.loss, weights.to(device), params.label_smoothing, params.focal_gamma)


def _regions(
    probs: torch.Tensor, targets: torch.Tensor, valid: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return overlap and sum of areas of each picture and class, `(n, C)` each."""
    if valid is not None:
        probs, targets = probs * valid, targets * valid
    return (probs * targets).sum(dim=(2, 3)), (probs + targets).sum(dim=(2, 3))
