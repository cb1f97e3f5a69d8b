"""Section `segmentation:` of `params.yaml`: what this task has of its own, and instead of keys of other sections."""

from typing import Annotated, Any, Literal

from pydantic import Field

from project.params import Section

PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class SegmentationParams(Section):
    """`segmentation:` read only with `--task segmentation`.

    model, train, augment: keys that replace those of the sections of that name, one by one.
    """

    channels: Annotated[int, Field(ge=1)]
    coarsest_stride: Literal[4, 8, 16, 32]
    defect_weight: PositiveFloat
    defect_view_share: Share
    gain_stops: Annotated[float, Field(ge=0)]
    gamma: Annotated[float, Field(ge=0, lt=1)]
    readout_c: PositiveFloat
    model: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)
    train: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)
    augment: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)
