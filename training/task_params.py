"""Sections of `params.yaml` that are of one task: what it has of its own, and instead of keys of other sections."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dataset.params import CropParams
from project.params import Section
from runtime.model.roles import Role
from training.engine_params import PositiveFloat

NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
BoxLossName = Literal["giou", "smooth_l1"]


class SegmentationParams(Section):
    """`segmentation:` read only with `--task segmentation`.

    regions: as masks tell them apart, or all as one of the name `merged_name`. threshold, min_region_px: of the
    contract; auto: chosen on validation pictures. model, train, augment: keys that replace those of the sections of
    that name, one by one.
    """

    regions: Literal["separate", "merged"] = "separate"
    merged_name: Annotated[str, Field(min_length=1)] = "defect"
    channels: Annotated[int, Field(ge=1)]
    coarsest_stride: Literal[4, 8, 16, 32]
    # training/tasks/segmentation_loss.py
    cross_entropy_weight: NonNegative = 1.0
    dice_weight: NonNegative = 1.0
    focal_gamma: NonNegative = 0.0
    boundary_weight: NonNegative = 0.0
    defect_weight: PositiveFloat
    loss_at: Literal["cells", "pixels"] = "cells"
    defect_view_share: Share
    gain_stops: NonNegative
    gamma: Annotated[float, Field(ge=0, lt=1)]
    readout_c: PositiveFloat
    threshold: Literal["auto"] | Annotated[float, Field(gt=0, lt=1)] = "auto"
    min_region_px: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    model: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)
    train: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)
    augment: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.cross_entropy_weight and not self.dice_weight:
            raise ValueError("cross_entropy_weight and dice_weight are both 0: nothing would be learned")
        return self


class DetectionParams(Section):
    """`detection:` read only with `--task detection`.

    objects: as boxes tell them apart, or all as one of the name `merged_name`. max_boxes, threshold: of the contract;
    auto: chosen on validation pictures. model, train, augment: keys that replace those of the sections of that name,
    one by one.
    """

    objects: Literal["separate", "merged"] = "separate"
    merged_name: Annotated[str, Field(min_length=1)] = "object"
    max_boxes: Annotated[int, Field(ge=1, le=1000)] = 100
    channels: Annotated[int, Field(ge=1)]
    coarsest_stride: Literal[4, 8, 16, 32]
    # training/tasks/detection_loss.py
    box_loss: BoxLossName = "giou"
    box_weight: PositiveFloat = 1.0
    focal_gamma: NonNegative = 2.0
    object_view_share: Share = 0.75
    readout_c: PositiveFloat
    threshold: Literal["auto"] | Annotated[float, Field(gt=0, lt=1)] = "auto"
    model: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)
    train: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)
    augment: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)


OwnParams = SegmentationParams | DetectionParams | CropParams
# Of each role that has one: its section's name, and what is in it.
OWN_SECTIONS: dict[Role, tuple[str, type[OwnParams]]] = {
    "segmentation": ("segmentation", SegmentationParams),
    "detection": ("detection", DetectionParams),
    "crop-classification": ("crops", CropParams),
}
