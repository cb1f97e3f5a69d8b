"""Keys of `params.yaml` that say how weights are changed: phases, precision, averaging; a key left out is off.

`train:` inherits `EngineParams`, so that these keys stand beside those of the batch. docs/TRAINING.md explains each.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from project.params import Section

PrecisionName = Literal["fp32", "bf16", "fp16"]
ScheduleName = Literal["cosine", "one_cycle"]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class PhaseParams(Section):
    """One entry of `train.phases`: some epochs with one optimiser."""

    trainable: Annotated[str, Field(pattern=r"^(head|all|last_blocks\([1-9]\d*\))$")]
    epochs: Count  # 0 skips the phase
    lr: PositiveFloat  # the head's, at its highest
    backbone_lr_scale: PositiveFloat = 1.0
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    schedule: ScheduleName = "cosine"
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1  # share of the phase's steps

    @property
    def num_blocks(self) -> int | None:
        """Return n of `last_blocks(n)`; None for the other words."""
        found = re.search(r"\d+", self.trainable)
        return int(found[0]) if found else None


class EngineParams(Section):
    """The part of `train:` that this module declares."""

    phases: Annotated[tuple[PhaseParams, ...], Field(min_length=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    accumulation: Annotated[int, Field(ge=1)] = 1
    clip_grad_norm: Annotated[float, Field(ge=0)] = 0.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    early_stopping_epochs: Count = 0
    precision: PrecisionName = "fp32"
    channels_last: bool = True
    compile: bool = False
    deterministic: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(phase.epochs for phase in self.phases) == 0:
            raise ValueError("the epochs of all phases are 0: nothing would be trained")
        return self
