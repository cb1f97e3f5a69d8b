"""The sections of `params.yaml` that this room reads."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from project.params import Section


class DataParams(Section):
    """`data:` how pictures become a manifest."""

    near_duplicate_correlation: Annotated[float, Field(gt=0, le=1)]
    max_leak_share: Annotated[float, Field(ge=0, le=1)] = 0.05


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
