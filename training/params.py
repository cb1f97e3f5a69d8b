"""Sections of `params.yaml` that training reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from project.params import ParamsError, Section, has_section, read_section
from runtime.model.contract import Filters, Interpolation, MaxValue, ResizeRule, Task
from training.batch_params import AugmentParams, BatchParams
from training.engine_params import Count, EngineParams
from training.task_params import OWN_SECTIONS, DetectionParams, SegmentationParams

Share = Annotated[float, Field(ge=0, le=1)]


class ContractParams(Section):
    """`contract:` what the model's input looks like; the rest of the contract follows from data and backbone.

    `filters` change no weight: training leaves them out of what it records and resumes by, and export sets them.
    """

    height: Annotated[int, Field(ge=32, le=4096)]
    width: Annotated[int, Field(ge=32, le=4096)]
    resize: ResizeRule
    interpolation: Interpolation
    # White in deep pictures; loading them reads it and writes what it is into the data set's description.
    max_value: Literal["auto"] | MaxValue = "auto"
    filters: Annotated[Filters, Field(exclude=True)] = ()


class ModelParams(Section):
    """`model:` which timm backbone and where its weights come from."""

    backbone: str
    pretrained: Literal["package", "hub", "none"]
    drop_rate: Share
    drop_path_rate: Share = 0.0  # stochastic depth

    @model_validator(mode="before")
    @classmethod
    def _check_head(cls, section: Any) -> Any:
        if isinstance(section, dict) and "head" in section:
            raise ValueError("'head' is no key any more: take it out, and say --task segmentation for per-pixel scores")
        return section


class TrainParams(EngineParams, BatchParams):
    """`train:` the optimisation. `batch_size` is over all processes together, so their number changes nothing."""

    seed: Count
    batch_size: Annotated[int, Field(ge=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_weight_power: Annotated[float, Field(ge=0, le=2)]


class Params(Section):
    """All of training's sections; `model_dump()` is what the log and MLflow record."""

    contract: ContractParams
    model: ModelParams
    train: TrainParams
    augment: AugmentParams
    segmentation: SegmentationParams | None = None  # of that task only
    detection: DetectionParams | None = None  # of that task only

    @classmethod
    def read(cls, path: Path, task: Task = "classification") -> "Params":
        """Read the sections as `task` has them: that of the task's name puts keys of its own in the place of others.

        Raises ParamsError naming the key that is wrong.
        """
        if has_section(path, "mask"):
            raise ParamsError(f"{path}: the section 'mask' is called 'segmentation' now, with the same keys: rename it")
        kind = OWN_SECTIONS.get(task)
        own: SegmentationParams | DetectionParams | None = read_section(path, task, kind) if kind else None
        return cls(
            contract=read_section(path, "contract", ContractParams),
            model=read_section(path, "model", ModelParams, own.model if own else {}, task),
            train=read_section(path, "train", TrainParams, own.train if own else {}, task),
            augment=read_section(path, "augment", AugmentParams, own.augment if own else {}, task),
            segmentation=own if isinstance(own, SegmentationParams) else None,
            detection=own if isinstance(own, DetectionParams) else None,
        )

    @property
    def task(self) -> Task:
        """The task that these are the params of."""
        if self.detection is not None:
            return "detection"
        return "classification" if self.segmentation is None else "segmentation"

    def flat(self) -> dict[str, str | int | float | bool]:
        """Return `{"train.seed": 0, "train.phases.0.lr": 0.003, ...}`."""
        return dict(_leaves("", self.model_dump(mode="json", exclude_none=True)))


def _leaves(name: str, value: object) -> Iterator[tuple[str, str | int | float | bool]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _leaves(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, value if isinstance(value, int | float | bool) else str(value)
