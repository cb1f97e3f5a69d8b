"""A network that finds regions pixel by pixel and reads the picture's class from what it found.

    picture -> timm backbone, strides 4 to 16 -> pyramid -> logits of background and regions at stride 4
            -> `region_outputs`: region and foreground of each pixel of the input
            -> three numbers a region (highest, mean of the highest, mean) -> linear readout -> class logits

A `PyramidNetwork` stands where `Classifier` has a backbone: it takes normalised pictures and returns class logits. Only
what its cells give is a task's own: `mask_network` builds that of regions, `training/network/centre_points.py` that of
objects. Top-down pyramid after Lin et al. 2017, "Feature pyramid networks".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import timm
import torch
from timm.models import group_parameters
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from runtime.model.contract import SegmentationContract
from training.network.backbones import BackboneError

FINEST_STRIDE = 4  # finer costs four times as much, and a blowhole of 10 pixels still covers several cells
NUMBERS_PER_REGION = 3
# Share of a picture's cells in the mean of the highest: one cell can be noise, a crack covers about this many.
TOP_SHARE = 0.005
# Added before the logarithm: a probability below it counts as none.
FLOOR = 1e-3
SumUp = Callable[[torch.Tensor], torch.Tensor]  # outputs of cells, `(n, c, h, w)`, to numbers of pictures, `(n, k)`
_LATERALS_KEY = "backbone.decoder.laterals."
_MERGE_KEY = "backbone.decoder.merge.0.weight"


class PyramidDecoder(nn.Module):
    """Join feature maps from coarse to fine and score every cell of the finest."""

    def __init__(self, in_channels: list[int], channels: int, num_outputs: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(_convolution(n, channels, 1) for n in in_channels)
        self.merge = _convolution(channels, channels, 3)
        self.pixels = nn.Conv2d(channels, num_outputs, 1)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """features: `(n, c_i, h_i, w_i)`, fine to coarse. Returns `(n, num_outputs, h_0, w_0)` logits."""
        joined: torch.Tensor | None = None
        for lateral, feature in zip(reversed(list(self.laterals)), reversed(features), strict=True):
            here = lateral(feature)
            if joined is not None:
                here = here + F.interpolate(joined, size=here.shape[-2:], mode="bilinear", align_corners=False)
            joined = here
        logits: torch.Tensor = self.pixels(self.merge(joined))
        return logits


class PyramidNetwork(nn.Module):
    """Backbone, pyramid and readout: `(n, 3, height, width)` normalised pictures to `(n, classes)` logits.

    It stands where `Classifier` has a backbone. A task decides by `num_outputs` and `sum_up` what its cells tell.
    """

    def __init__(
        self, pyramid: nn.Module, levels: Sequence[int], channels: int, num_outputs: int, sum_up: SumUp,
        num_numbers: int, num_classes: int,
    ) -> None:  # fmt: skip
        """Take what each cell gives, `num_outputs`, and what makes `(n, num_numbers)` of a picture's cells."""
        super().__init__()
        info = cast("list[dict[str, Any]]", pyramid.feature_info)
        timm_model = cast("Any", pyramid)
        timm_model.prune_intermediate_layers(list(levels))  # the classifier and what lies behind the last level go
        self.pyramid = pyramid
        self.decoder = PyramidDecoder([info[level]["num_chs"] for level in levels], channels, num_outputs)
        self.readout = nn.Linear(num_numbers, num_classes)
        self.sum_up = sum_up
        self._levels = list(levels)

    def cell_outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return `(n, num_outputs, height / 4, width / 4)`."""
        features = cast("Any", self.pyramid).forward_intermediates(
            images, indices=self._levels, intermediates_only=True
        )
        outputs: torch.Tensor = self.decoder(features)
        return outputs

    def class_logits(self, cell_outputs: torch.Tensor) -> torch.Tensor:
        """Return `(n, classes)`, what the cells of each picture say of its class."""
        logits: torch.Tensor = self.readout(self.sum_up(cell_outputs))
        return logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.class_logits(self.cell_outputs(images))

    def get_classifier(self) -> nn.Module:
        """Return all that pretrained weights do not cover, by timm's name for it."""
        return nn.ModuleList([self.decoder, self.readout])

    def fitted_parameters(self) -> list[nn.Parameter]:
        """Return the readout's, which gradients never change."""
        return list(self.readout.parameters())

    def group_matcher(self, coarse: bool = False) -> Callable[[str], float]:
        """Return timm's numbers of layers by a parameter's name: the backbone's own, then the rest."""
        own = cast("Any", self.pyramid).group_matcher(coarse=coarse)
        layers = group_parameters(self.pyramid, own, reverse=True)
        return lambda name: layers.get(name.removeprefix("pyramid."), float("inf"))

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that do not decay, as timm's backbone says."""
        names: set[str] = getattr(self.pyramid, "no_weight_decay", set)()
        return {f"pyramid.{name}" for name in names}


def mask_network(
    backbone: nn.Module, levels: Sequence[int], channels: int, num_regions: int, num_classes: int
) -> PyramidNetwork:
    """Build the network whose cells give the logit of background, then of each region."""
    num_numbers = NUMBERS_PER_REGION * num_regions
    return PyramidNetwork(backbone, levels, channels, 1 + num_regions, region_numbers, num_numbers, num_classes)


def region_numbers(pixel_logits: torch.Tensor) -> torch.Tensor:
    """Sum up each region's probabilities: logarithms of the highest, of the mean of the highest, and of the mean.

    pixel_logits: `(n, 1 + regions, h, w)`. Returns `(n, 3 * regions)` float32 in [log FLOOR, 0], the three numbers of a
    region side by side.
    """
    probs = pixel_logits.float().softmax(dim=1)[:, 1:].flatten(2)
    num_top = max(1, round(TOP_SHARE * probs.shape[2]))
    top = probs.topk(num_top, dim=2).values
    numbers = torch.stack([top[:, :, 0], top.mean(dim=2), probs.mean(dim=2)], dim=2)
    return torch.log(numbers + FLOOR).flatten(1)


def pyramid_levels(backbone: nn.Module, coarsest_stride: int) -> list[int]:
    """Return the indices of feature maps of strides 4 to `coarsest_stride`. Raises BackboneError without a pyramid."""
    strides = [level["reduction"] for level in cast("list[dict[str, Any]]", getattr(backbone, "feature_info", []))]
    levels = [i for i, stride in enumerate(strides) if FINEST_STRIDE <= stride <= coarsest_stride]
    has_all = hasattr(backbone, "forward_intermediates") and hasattr(backbone, "prune_intermediate_layers")
    if not has_all or not levels or strides[levels[0]] != FINEST_STRIDE or len(set(strides)) != len(strides):
        raise BackboneError(
            f"a pyramid needs a backbone with feature maps at strides 4, 8, ..., but this one has {strides}: choose "
            "another model.backbone"
        )
    return levels


def region_outputs(pixel_logits: torch.Tensor, size_px: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a segmentation answers of each pixel of its input, `(height, width)` being `size_px`.

    pixel_logits: `(n, 1 + regions, h, w)`, background first. Returns `region_map`, `(n, height, width)` uint8 in
    [1, regions], the likeliest region, and `foreground`, float32 of that shape, one minus the probability of
    background. Logits are made larger bilinearly, and the softmax comes after that.
    """
    logits = F.interpolate(pixel_logits.float(), size=size_px, mode="bilinear", align_corners=False)
    region_map = logits[:, 1:].argmax(dim=1).add(1).to(torch.uint8)
    return region_map, 1 - logits.softmax(dim=1)[:, 0]


def empty_like_state(
    backbone: str, contract: SegmentationContract, state: Mapping[str, torch.Tensor]
) -> PyramidNetwork:
    """Build the untrained network of a contract, with the channels and levels that a checkpoint's weights have.

    Raises BackboneError if they are not those of a `PyramidNetwork` inside a `Classifier`.
    """
    pyramid, levels, channels = pyramid_of_state(backbone, contract.task, state)
    return mask_network(pyramid, levels, channels, len(contract.regions), len(contract.classes))


def pyramid_of_state(
    backbone: str, task: str, state: Mapping[str, torch.Tensor]
) -> tuple[nn.Module, Sequence[int], int]:
    """Return an untrained backbone, and the levels and channels of the pyramid whose weights a checkpoint has.

    Raises BackboneError if it has those of none.
    """
    if _MERGE_KEY not in state:
        raise BackboneError(f"the checkpoint has the contract of a {task}, but not its weights: train it again")
    num_levels = sum(name.startswith(_LATERALS_KEY) and name.endswith(".0.weight") for name in state)
    pyramid = timm.create_model(backbone, pretrained=False)
    strides = [level["reduction"] for level in cast("list[dict[str, Any]]", pyramid.feature_info)]
    first = strides.index(FINEST_STRIDE)
    return pyramid, range(first, first + num_levels), state[_MERGE_KEY].shape[0]


def _convolution(in_channels: int, out_channels: int, size: int) -> nn.Sequential:
    # One group is a layer norm over channels and cells: no statistics of a batch, so batches of any size train alike.
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, padding=size // 2, bias=False),
        nn.GroupNorm(1, out_channels),
        nn.ReLU(inplace=True),
    )
