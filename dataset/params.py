"""The sections of `params.yaml` that this room reads."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from project.params import Section


class DataParams(Section):
    """`data:` how pictures become a manifest."""

    near_duplicate_correlation: Annotated[float, Field(gt=0, le=1)]
    max_leak_share: Annotated[float, Field(ge=0, le=1)] = 0.05


class CropParams(Section):
    """`crops:` what a classifier of crops gets to see of a box, and how it is trained.

    margin: share of the box's sides, added on each of them. jitter: largest move of each side of a training box, as a
    share of the box's width or height; jittered: crops of moved boxes beside that of the true one. contract, model,
    train, augment: keys that replace those of the sections of that name, one by one, with
    `--task crop-classification`.
    """

    margin: Annotated[float, Field(ge=0, le=1)]
    jitter: Annotated[float, Field(ge=0, le=0.4)] = 0.0
    jittered: Annotated[int, Field(ge=0, le=100)] = 0
    contract: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)
    model: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)
    train: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)
    augment: Annotated[dict[str, Any], Field(exclude=True)] = Field(default_factory=dict)


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
