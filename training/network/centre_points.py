"""A network that finds objects as points with four distances, and reads the picture's class from what it found.

    picture -> timm backbone, strides 4 to 16 or more -> pyramid -> at stride 4 a heat map for each object, and the
            distances from a cell to the four sides of the box that it is the centre of
            -> `candidates`: the highest peaks of all heat maps and their boxes
            -> three numbers an object (highest peak, second peak, mean) -> linear readout -> class logits

It is a `PyramidNetwork`, as that of regions is. Objects as peaks after Zhou et al. 2019, "Objects as points"
(CenterNet); distances to four sides after Tian et al. 2019 (FCOS). A peak is a cell that no neighbour exceeds, so one
object has one, and nothing need be suppressed afterwards.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from runtime.model.contract import DetectionContract
from training.network.pyramid import FINEST_STRIDE, FLOOR, PyramidNetwork, pyramid_of_state

NUM_SIDES = 4
NUMBERS_PER_OBJECT = 3
FIRST_SCORE = 0.1  # of every cell before training: that of Zhou et al. 2019, so that background does not swamp objects
FIRST_DISTANCE_PX = 16.0  # from every cell to each side before training
MAX_EXPONENT = math.log(2**14)  # of a distance in cells: far beyond any picture, and no infinity


class Candidates(NamedTuple):
    """The K best peaks of each picture, the best first.

    boxes: `(n, K, 4)` float32 left, top, right, bottom in pixels of the input, cut off at its edges. scores: `(n, K)`
    float32 in [0, 1], 0 where there is no peak. objects: `(n, K)` uint8.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    objects: torch.Tensor


def centre_network(
    backbone: nn.Module, levels: Sequence[int], channels: int, num_objects: int, num_classes: int
) -> PyramidNetwork:
    """Build the network whose cells give the logit of each object's heat map, then raw distances to four sides."""
    num_numbers = NUMBERS_PER_OBJECT * num_objects
    network = PyramidNetwork(
        backbone, levels, channels, num_objects + NUM_SIDES, object_numbers, num_numbers, num_classes
    )
    bias = cast(torch.Tensor, network.decoder.pixels.bias)
    with torch.no_grad():
        bias[:num_objects] = math.log(FIRST_SCORE / (1 - FIRST_SCORE))
        bias[num_objects:] = math.log(FIRST_DISTANCE_PX / FINEST_STRIDE)
    return network


def boxes_of_cells(raw_distances: torch.Tensor) -> torch.Tensor:
    """Return `(n, 4, h, w)`: left, top, right and bottom, in pixels of the input, of the box around each cell's centre.

    raw_distances: `(n, 4, h, w)`, logarithms of the distances to these sides, in cells.
    """
    distances = torch.exp(raw_distances.float().clamp(max=MAX_EXPONENT)) * FINEST_STRIDE
    height, width = raw_distances.shape[-2:]
    y = (torch.arange(height, device=distances.device, dtype=distances.dtype).view(-1, 1) + 0.5) * FINEST_STRIDE
    x = (torch.arange(width, device=distances.device, dtype=distances.dtype).view(1, -1) + 0.5) * FINEST_STRIDE
    left, top, right, bottom = distances.unbind(dim=1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=1)


def peaks(heat_logits: torch.Tensor) -> torch.Tensor:
    """Return `(n, objects, h, w)` float32: each cell's probability where none of its eight neighbours has a higher one.

    heat_logits: `(n, objects, h, w)`, which are compared, since probabilities of sure cells all round to 1. Other cells
    have 0.
    """
    logits = heat_logits.float()
    highest = F.max_pool2d(logits, 3, stride=1, padding=1)
    return torch.where(logits == highest, logits.sigmoid(), torch.zeros_like(logits))


def candidates(cell_outputs: torch.Tensor, max_boxes: int, size_px: tuple[int, int]) -> Candidates:
    """Return the `max_boxes` highest peaks of all heat maps of each picture with their boxes.

    cell_outputs: `(n, objects + 4, h, w)`, of which there must be at least `max_boxes` cells of objects. size_px:
    height and width of the input.
    """
    num_objects, num_cells = cell_outputs.shape[1] - NUM_SIDES, cell_outputs.shape[2] * cell_outputs.shape[3]
    scores, places = peaks(cell_outputs[:, :num_objects]).flatten(1).topk(max_boxes, dim=1)
    boxes = boxes_of_cells(cell_outputs[:, num_objects:]).flatten(2)
    cells = (places % num_cells).unsqueeze(1).expand(-1, NUM_SIDES, -1)
    found = boxes.gather(2, cells).transpose(1, 2)
    height, width = size_px
    limits = torch.tensor([width, height, width, height], dtype=found.dtype, device=found.device)
    inside = torch.minimum(found.clamp(min=0), limits)
    return Candidates(inside, scores, (places // num_cells).to(torch.uint8))


def object_numbers(cell_outputs: torch.Tensor) -> torch.Tensor:
    """Sum up each heat map: logarithms of its highest peak, of the second, and of the mean of its cells.

    cell_outputs: `(n, objects + 4, h, w)` of two cells or more. Returns `(n, 3 * objects)` float32 in [log FLOOR,
    log (1 + FLOOR)], the three numbers of an object side by side.
    """
    heat = cell_outputs[:, :-NUM_SIDES]
    best = peaks(heat).flatten(2).topk(2, dim=2).values
    mean = heat.float().sigmoid().flatten(2).mean(dim=2, keepdim=True)
    return torch.log(torch.cat([best, mean], dim=2) + FLOOR).flatten(1)


def empty_like_state(backbone: str, contract: DetectionContract, state: Mapping[str, torch.Tensor]) -> PyramidNetwork:
    """Build the untrained network of a contract, with the channels and levels that a checkpoint's weights have.

    Raises BackboneError if they are not those of a pyramid inside a `Classifier`.
    """
    pyramid, levels, channels = pyramid_of_state(backbone, contract.task, state)
    return centre_network(pyramid, levels, channels, len(contract.objects), len(contract.classes))
