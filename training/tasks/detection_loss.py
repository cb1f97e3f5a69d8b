"""The loss of heat maps and distances against boxes: focal loss of all cells, and an error of boxes near centres."""

from typing import NamedTuple

import torch
from torch.nn import functional as F  # noqa: N812  # the field's name for it
from torchvision.ops import generalized_box_iou_loss

from training.network.centre_points import NUM_SIDES, boxes_of_cells
from training.network.losses import EPSILON, smooth_l1
from training.network.pyramid import FINEST_STRIDE
from training.task_params import BoxLossName

# Columns of a target after the four sides of its box: which object it is of, and whether it counts.
OBJECT, STATE, NUM_COLUMNS = 4, 5, 6
NO_BOX, COUNTS, IGNORED = 0, 1, 2  # values of STATE
# Standard deviation of a box's bell, as a share of the side along its axis: alpha / 6, with alpha of Liu et al. 2020.
# A box that is moved along by two of them overlaps itself with an IoU of 0.7.
SIGMA_SHARE = 0.54 / 6
MIN_SIGMA_CELLS = 0.4
NEAR_POWER = 4  # of what a cell near a centre is let off: beta of Law and Deng 2018
MIN_BELL = 0.05  # below it a cell does not learn where the sides are


class LossWeights(NamedTuple):
    """What the parts of the loss count; `training/task_params.py` says what each is."""

    box_loss: BoxLossName = "giou"
    box: float = 1.0
    focal_gamma: float = 2.0


class CellTargets(NamedTuple):
    """What cells are compared with.

    heat: `(n, objects, h, w)` in [0, 1], 1 at the cell that a box has its centre in. counts: the same shape, False in
    ignored boxes. boxes: `(n, 4, h, w)`, the box that a cell near its centre is to find, in pixels; where boxes share a
    cell, the smallest. weights: `(n, h, w)`, about 1 over all cells of a box, 0 far from centres. num_boxes: `(n,)`.
    """

    heat: torch.Tensor
    counts: torch.Tensor
    boxes: torch.Tensor
    weights: torch.Tensor
    num_boxes: torch.Tensor


def box_loss(cell_outputs: torch.Tensor, targets: torch.Tensor, weights: LossWeights) -> torch.Tensor:
    """Mean over pictures of focal loss plus the error of boxes, both by the number of boxes in the picture.

    cell_outputs: `(n, objects + 4, h, w)`. targets: `(n, m, 6)` float32: left, top, right and bottom in pixels of the
    input, the object, and the state: `NO_BOX` fills up rows of fewer boxes, and in a box that is `IGNORED` no cell of
    its object counts but another box's centre. Pictures without boxes count as if they had one, so the average over
    equal shares of a batch is the value of the whole batch.

    The focal loss is that of Law and Deng 2018 (CornerNet), eq. 1, with bells as wide and as high as their boxes (Liu
    et al. 2020, TTFNet). Boxes are compared by GIoU (Rezatofighi et al. 2019), or by the Smooth L1 of their sides in
    cells (Girshick 2015), at all cells near a centre, each with its share of the bell.
    """
    outputs = cell_outputs.float()
    heat_logits, raw_distances = outputs[:, :-NUM_SIDES], outputs[:, -NUM_SIDES:]
    wanted = cell_targets(targets, heat_logits.shape[1], (outputs.shape[2], outputs.shape[3]))
    losses = _heat_losses(heat_logits, wanted, weights.focal_gamma)
    losses = losses + weights.box * _box_losses(raw_distances, wanted, weights.box_loss)
    return (losses / wanted.num_boxes.clamp(min=1)).mean()


@torch.no_grad()
def cell_targets(targets: torch.Tensor, num_objects: int, size: tuple[int, int]) -> CellTargets:
    """Return what each of `size` (height, width) cells is compared with; targets: as for `box_loss`."""
    corners, objects, state = targets[..., :4], targets[..., OBJECT].long(), targets[..., STATE]
    is_box, is_ignored = (state == COUNTS)[..., None, None], (state == IGNORED)[..., None, None]
    inside = _inside(corners, size)
    bells = torch.where(is_box, _bells(corners, size), 0.0)
    shape = (len(targets), num_objects, *size)
    maps = objects.view(*objects.shape, 1, 1).expand_as(bells)
    heat = bells.new_zeros(shape).scatter_reduce(1, maps, bells, "amax")
    ignored = (inside & is_ignored).float()
    is_unknown = ignored.new_zeros(shape).scatter_reduce(1, maps, ignored, "amax") > 0
    near = (bells == 1) | (inside & (bells > MIN_BELL))
    shares = torch.where(near, bells, 0.0)
    shares = shares / shares.sum(dim=(2, 3), keepdim=True).clamp_min(EPSILON)
    areas = (corners[..., 2] - corners[..., 0]) * (corners[..., 3] - corners[..., 1])
    smallest = torch.where(near, areas[..., None, None], torch.inf).argmin(dim=1, keepdim=True)
    boxes = [corners[..., side, None, None].expand_as(bells).gather(1, smallest) for side in range(NUM_SIDES)]
    return CellTargets(
        heat,
        ~is_unknown | (heat == 1),
        torch.cat(boxes, dim=1),
        shares.gather(1, smallest).squeeze(1),
        is_box.sum(dim=(1, 2, 3)),
    )


def _bells(corners: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return `(n, m, h, w)`: of each box a Gaussian bell, 1 at the cell of its centre."""
    along = []
    for axis, num_cells in ((1, size[0]), (0, size[1])):
        start, end = corners[..., axis] / FINEST_STRIDE, corners[..., axis + 2] / FINEST_STRIDE
        centre = ((start + end) / 2).floor().clamp(0, num_cells - 1)
        sigma = (SIGMA_SHARE * (end - start)).clamp_min(MIN_SIGMA_CELLS)
        distance = torch.arange(num_cells, device=corners.device) - centre.unsqueeze(-1)
        along.append(torch.exp(-(distance**2) / (2 * sigma.unsqueeze(-1) ** 2)))
    return along[0].unsqueeze(-1) * along[1].unsqueeze(-2)


def _inside(corners: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return `(n, m, h, w)` bool: whether a cell's centre lies in a box."""
    along = []
    for axis, num_cells in ((1, size[0]), (0, size[1])):
        centres = (torch.arange(num_cells, device=corners.device) + 0.5) * FINEST_STRIDE
        start, end = corners[..., axis].unsqueeze(-1), corners[..., axis + 2].unsqueeze(-1)
        along.append((centres >= start) & (centres <= end))
    return along[0].unsqueeze(-1) & along[1].unsqueeze(-2)


def _heat_losses(heat_logits: torch.Tensor, wanted: CellTargets, gamma: float) -> torch.Tensor:
    """Return `(n,)`: the sum over a picture's cells that count, of all heat maps."""
    probs = heat_logits.sigmoid()
    # Clamped, since the gradient of a power below 1 has no value at 0.
    found = (1 - probs).clamp_min(EPSILON) ** gamma * -F.logsigmoid(heat_logits)
    let_off = (1 - wanted.heat) ** NEAR_POWER
    false = let_off * probs.clamp_min(EPSILON) ** gamma * -F.logsigmoid(-heat_logits)
    losses = torch.where(wanted.heat == 1, found, false) * wanted.counts
    return losses.sum(dim=(1, 2, 3))


def _box_losses(raw_distances: torch.Tensor, wanted: CellTargets, name: BoxLossName) -> torch.Tensor:
    """Return `(n,)`: the sum over a picture's cells near centres, each with its weight."""
    found, true = (boxes.permute(0, 2, 3, 1) for boxes in (boxes_of_cells(raw_distances), wanted.boxes))
    if name == "giou":
        losses = generalized_box_iou_loss(found, true, reduction="none")
    else:
        losses = smooth_l1(found / FINEST_STRIDE, true / FINEST_STRIDE)
    weighted: torch.Tensor = losses * wanted.weights
    return weighted.sum(dim=(1, 2))
