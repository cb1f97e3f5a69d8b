"""Section `detection:` of `params.yaml`: what this task has of its own, and instead of keys of other sections."""

from typing import Annotated, Any, Literal

from pydantic import Field

from project.params import Section

NonNegative = Annotated[float, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
BoxLossName = Literal["giou", "smooth_l1"]


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
