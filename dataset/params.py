"""The sections of `params.yaml` that this room reads."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from project.params import Section


class DataParams(Section):
    """`data:` how pictures become a manifest."""

    near_duplicate_correlation: Annotated[float, Field(gt=0, le=1)]


class CropParams(Section):
    """`crops:` what a classifier of crops gets to see of a box; `margin`: share of its sides, added on each of them."""

    margin: Annotated[float, Field(ge=0, le=1)]


class SplitParams(Section):
    """`split:` how a manifest is divided: one fold for test, the next for validation, the rest for training."""

    seed: Annotated[int, Field(ge=0)]
    num_folds: Annotated[int, Field(ge=3)]
    test_fold: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.test_fold >= self.num_folds:
            raise ValueError(f"test_fold must be below num_folds ({self.num_folds}), got {self.test_fold}")
        return self
