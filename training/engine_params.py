"""Keys of `params.yaml` that say how weights are changed: phases, precision, averaging; a key left out is off.

`train:` inherits `EngineParams`, so that these keys stand beside those of the batch. docs/TRAINING.md explains each.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from project.params import Section

PrecisionName = Literal["fp32", "bf16", "fp16"]
ScheduleName = Literal["cosine", "one_cycle", "one_cycle_momentum"]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
EPOCH_STEPS = 50  # of a phase that counts steps: so often its figures are logged and the run is saved


class PhaseParams(Section):
    """One entry of `train.phases`: some epochs, or some steps, with one optimiser; 0 of them skip the phase."""

    trainable: Annotated[str, Field(pattern=r"^(head|all|(last_blocks|all_but_first)\([1-9]\d*\))$")]
    epochs: Count | None = None
    steps: Count | None = None
    lr: PositiveFloat  # the head's, at its highest
    backbone_lr_scale: PositiveFloat = 1.0
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    schedule: ScheduleName = "cosine"
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1  # share of the phase's steps
    view: Annotated[float, Field(gt=0, le=1)] = 1.0  # share of each side of the picture that training sees at once

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a phase has either epochs or steps")
        return self

    @property
    def num_blocks(self) -> int | None:
        """Return n of `last_blocks(n)` and `all_but_first(n)`; None for the other words."""
        found = re.search(r"\d+", self.trainable)
        return int(found[0]) if found else None

    @property
    def num_epochs(self) -> int:
        """Return how often the phase is logged and saved; what counts steps has an epoch for every EPOCH_STEPS."""
        return -(-self.steps // EPOCH_STEPS) if self.steps is not None else self.epochs or 0

    def steps_before(self, epoch: int, pass_steps: int) -> int:
        """Return how many steps the phase's first `epoch` epochs take; pass_steps: those of one pass over the data."""
        return epoch * pass_steps if self.steps is None else min(self.steps, epoch * EPOCH_STEPS)


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
        if self.num_epochs == 0:
            raise ValueError("the epochs of all phases are 0: nothing would be trained")
        return self

    @property
    def num_epochs(self) -> int:
        """Return the epochs of the whole run as planned."""
        return sum(phase.num_epochs for phase in self.phases)
