"""Section `mask:` of `params.yaml`: how a model with `model.head: mask` is trained."""

from typing import Annotated, Literal

from pydantic import Field

from dataset.params import Section

PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class MaskPhase(Section):
    """Some steps on views of one size. view: share of each side of the picture; lr_scale: times `lr`."""

    view: Annotated[float, Field(gt=0, le=1)]
    steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    lr_scale: PositiveFloat


class MaskParams(Section):
    """`mask:` read only with `model.head: mask`; seed and weight decay are those of `train:`."""

    channels: Annotated[int, Field(ge=1)]
    coarsest_stride: Literal[4, 8, 16, 32]
    frozen_groups: Annotated[int, Field(ge=0)]
    lr: PositiveFloat
    backbone_lr_scale: PositiveFloat
    defect_weight: PositiveFloat
    defect_view_share: Share
    gain_stops: Annotated[float, Field(ge=0)]
    gamma: Annotated[float, Field(ge=0, lt=1)]
    phases: Annotated[tuple[MaskPhase, ...], Field(min_length=1)]
    readout_c: PositiveFloat
