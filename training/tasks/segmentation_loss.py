"""The loss of pixel scores against masks: weighted cross-entropy plus soft Dice."""

from typing import NamedTuple

import torch
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from dataset.annotations import IGNORED

BOUNDARY_SIGMA_PX = 5.0  # of the weights near edges, in pixels of the masks: that of Ronneberger et al. 2015


class LossWeights(NamedTuple):
    """What the parts of the loss count; `training/task_params.py` says what each is."""

    cross_entropy: float = 1.0
    dice: float = 1.0
    focal_gamma: float = 0.0
    boundary: float = 0.0
    defect: float = 1.0
    at_pixels: bool = False


def mask_loss(pixel_logits: torch.Tensor, masks: torch.Tensor, weights: LossWeights) -> torch.Tensor:
    """Mean over pictures of cross-entropy plus one minus soft Dice of the regions there, each times its weight.

    pixel_logits: `(n, 1 + regions, h, w)`. masks: `(n, height, width)` uint8, 0 background, `i + 1` region i, 255
    ignored; a cell counts for the highest number among its pixels, so that thin marks survive. With `at_pixels` the
    logits are made as large as the masks first, as in the answer. Both parts are means over pictures, so the average
    over equal shares of a batch is the value of the whole batch. Dice is that of Milletari et al. 2016 (V-Net), without
    squares, of each picture and region: a small one counts as a large one.
    """
    logits = pixel_logits.float()
    if weights.at_pixels:
        logits = F.interpolate(logits, size=masks.shape[1:], mode="bilinear", align_corners=False)
    cells = F.adaptive_max_pool2d(masks.float().unsqueeze(1), logits.shape[-2:]).squeeze(1).long()
    is_known = cells != IGNORED
    target = torch.where(is_known, cells, 0)
    losses = logits.new_zeros(len(logits))
    if weights.cross_entropy:
        stride = masks.shape[1] / logits.shape[2]
        losses = losses + weights.cross_entropy * _cross_entropies(logits, target, is_known, weights, stride)
    if weights.dice:
        losses = losses + weights.dice * _dice_losses(logits, target, is_known)
    return losses.mean()


def _cross_entropies(
    logits: torch.Tensor, target: torch.Tensor, is_known: torch.Tensor, weights: LossWeights, stride: float
) -> torch.Tensor:
    """Return `(n,)`: mean over a picture's known cells, each with its weight.

    With `focal_gamma` a cell's term is scaled by `(1 - p) ** gamma`: Lin et al. 2017, eq. 4.
    """
    cell_weights = torch.where(target > 0, weights.defect, 1.0) * is_known
    if weights.boundary:
        cell_weights = cell_weights * (1 + weights.boundary * _nearness(target, is_known, BOUNDARY_SIGMA_PX / stride))
    losses = F.cross_entropy(logits, target, reduction="none")
    if weights.focal_gamma:
        # 1 - p; clamped, since the gradient of a power below 1 has no value at 0.
        losses = losses * (-torch.expm1(-losses)).clamp_min(1e-6) ** weights.focal_gamma
    return (losses * cell_weights).sum(dim=(1, 2)) / is_known.sum(dim=(1, 2)).clamp(min=1)


def _nearness(target: torch.Tensor, is_known: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return `(n, h, w)` float32: `exp(-d**2 / (2 * sigma**2))`, d the distance to the nearest cell at an edge.

    A cell is at an edge if one of its eight neighbours is known to be another. Distances are Chebyshev's, in cells, and
    count up to 2 sigma. After Ronneberger et al. 2015 (U-Net), eq. 2, with one distance in the place of two: there the
    weight is for gaps between cells of a tissue, here for every edge of a mask.
    """
    label = target.float().unsqueeze(1)
    known = is_known.unsqueeze(1)
    lowest = -F.max_pool2d(torch.where(known, -label, -float(IGNORED)), 3, stride=1, padding=1)
    highest = F.max_pool2d(torch.where(known, label, -1.0), 3, stride=1, padding=1)
    near = (known & (highest != lowest)).float()
    nearness = near.clone()
    for distance in range(1, int(2 * sigma) + 1):
        near = F.max_pool2d(near, 3, stride=1, padding=1)
        nearness = torch.maximum(nearness, near * torch.tensor(-(distance**2) / (2 * sigma**2)).exp())
    return nearness.squeeze(1)


def _dice_losses(logits: torch.Tensor, target: torch.Tensor, is_known: torch.Tensor) -> torch.Tensor:
    """Return `(n,)`: sum over the regions in a picture of 1 - 2 * overlap / (found + there), smoothed by one cell."""
    known = is_known.unsqueeze(1)
    found = logits.softmax(dim=1)[:, 1:] * known
    there = F.one_hot(target, logits.shape[1]).permute(0, 3, 1, 2)[:, 1:] * known
    overlap = (found * there).sum(dim=(2, 3))
    sizes = found.sum(dim=(2, 3)) + there.sum(dim=(2, 3))
    losses = 1 - (2 * overlap + 1) / (sizes + 1)
    return (losses * (there.sum(dim=(2, 3)) > 0)).sum(dim=1)
