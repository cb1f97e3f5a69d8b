"""The loss of pixel scores against masks: weighted cross-entropy plus soft Dice."""

import torch
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from dataset.annotations import IGNORED


def mask_loss(pixel_logits: torch.Tensor, masks: torch.Tensor, defect_weight: float) -> torch.Tensor:
    """Mean over pictures of cross-entropy, defect pixels weighted, plus one minus soft Dice of the defects there.

    pixel_logits: `(n, 1 + regions, h, w)`. masks: `(n, height, width)` uint8, 0 background, `i + 1` region i, 255
    ignored; a cell counts for the highest number among its pixels, so that thin defects survive. Both terms are means
    over pictures, so the average over equal shares of a batch is the value of the whole batch. Dice is that of
    Milletari et al. 2016 (V-Net), without squares, of each picture and defect: a small defect counts as a large one.
    """
    cells = F.adaptive_max_pool2d(masks.float().unsqueeze(1), pixel_logits.shape[-2:]).squeeze(1).long()
    is_known = cells != IGNORED
    target = torch.where(is_known, cells, 0)
    logits = pixel_logits.float()
    weights = torch.where(target > 0, defect_weight, 1.0) * is_known
    losses = F.cross_entropy(logits, target, reduction="none") * weights
    entropy = losses.sum(dim=(1, 2)) / is_known.sum(dim=(1, 2)).clamp(min=1)
    return (entropy + _dice_losses(logits, target, is_known)).mean()


def _dice_losses(logits: torch.Tensor, target: torch.Tensor, is_known: torch.Tensor) -> torch.Tensor:
    """Return `(n,)`: sum over the defects in a picture of 1 - 2 * overlap / (found + there), smoothed by one cell."""
    known = is_known.unsqueeze(1)
    found = logits.softmax(dim=1)[:, 1:] * known
    there = F.one_hot(target, logits.shape[1]).permute(0, 3, 1, 2)[:, 1:] * known
    overlap = (found * there).sum(dim=(2, 3))
    sizes = found.sum(dim=(2, 3)) + there.sum(dim=(2, 3))
    losses = 1 - (2 * overlap + 1) / (sizes + 1)
    return (losses * (there.sum(dim=(2, 3)) > 0)).sum(dim=1)
