"""Keys of `params.yaml` that say what a batch is made of and what is minimised on it; a key left out is off.

`train:` inherits `BatchParams`, so that these keys stand beside those of the optimisation.
"""

from typing import Annotated, Literal

from pydantic import Field

from dataset.params import Section

LossName = Literal["cross_entropy", "focal", "binary_cross_entropy"]
ClassWeighting = Literal["power", "effective_number"]
SamplingRule = Literal["shuffle", "balanced", "auto"]


class BatchParams(Section):
    """The part of `train:` that this module declares."""

    # training/losses.py
    loss: LossName = "cross_entropy"
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    class_weighting: ClassWeighting = "power"
    effective_number_beta: Annotated[float, Field(ge=0, lt=1)] = 0.99
    # training/sampling.py
    sampling: SamplingRule = "shuffle"
