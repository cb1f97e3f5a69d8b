"""Keys of `params.yaml` that say what a batch is made of and what is minimised on it; a key left out is off.

`train:` inherits `BatchParams`, so that these keys stand beside those of the optimisation.
"""

from typing import Annotated, Literal

from pydantic import Field

from project.params import Section

LossName = Literal["cross_entropy", "focal", "binary_cross_entropy"]
ClassWeighting = Literal["power", "effective_number"]
SamplingRule = Literal["shuffle", "balanced", "auto", "objects"]


class BatchParams(Section):
    """The part of `train:` that this module declares."""

    # training/network/losses.py
    loss: LossName = "cross_entropy"
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    class_weighting: ClassWeighting = "power"
    effective_number_beta: Annotated[float, Field(ge=0, lt=1)] = 0.99
    # training/data/sampling.py
    sampling: SamplingRule = "shuffle"
    # training/data/cache.py
    cache: bool = False
    cache_max_gib: Annotated[float, Field(gt=0)] = 20.0


class AugmentParams(Section):
    """`augment:` what may happen to a training picture; see `training.data.augmentation` and `training.data.mixing`."""

    flip: bool | Literal["horizontal", "vertical"]  # true: both
    crop_min_area: Annotated[float, Field(gt=0, le=1)]
    crop_max_aspect: Annotated[float, Field(ge=1, le=4)] = 1.0
    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    translate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    shear_degrees: Annotated[float, Field(ge=0, le=45)] = 0.0
    exposure_stops: Annotated[float, Field(ge=0, le=4)] = 0.0
    gamma: Annotated[float, Field(ge=1, le=4)] = 1.0
    brightness: Annotated[float, Field(ge=0, le=1)]
    contrast: Annotated[float, Field(ge=0, le=1)]
    randaugment_num_ops: Annotated[int, Field(ge=0, le=8)] = 0
    randaugment_magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0
    erasing_probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    erasing_max_area: Annotated[float, Field(gt=0, le=0.5)] = 0.2
    mixup_alpha: Annotated[float, Field(ge=0)] = 0.0
    cutmix_alpha: Annotated[float, Field(ge=0)] = 0.0
    mix_probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    off_last_epochs: Annotated[int, Field(ge=0)] = 0

    @property
    def mixes(self) -> bool:
        """Whether pictures are mixed with each other."""
        return self.mix_probability > 0 and (self.mixup_alpha > 0 or self.cutmix_alpha > 0)

    def is_on(self, epoch: int, num_epochs: int | None) -> bool:
        """Tell whether `epoch`, counted from 1, is augmented; the last `off_last_epochs` of `num_epochs` are not."""
        return num_epochs is None or epoch <= num_epochs - self.off_last_epochs
