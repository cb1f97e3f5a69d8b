"""Sections of `params.yaml` that training reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dataset.params import CropParams
from project.params import ParamsError, Section, has_section, read_section
from runtime.model.contract import Interpolation, MaxValue, ResizeRule, Task
from runtime.model.roles import Role
from runtime.model.stated_filters import Filters
from training.batch_params import AugmentParams, BatchParams
from training.engine_params import Count, EngineParams
from training.task_params import OWN_SECTIONS, DetectionParams, OwnParams, SegmentationParams, Share


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
    crops: CropParams | None = None  # of a classifier of crops only

    @classmethod
    def read(cls, path: Path, role: Role = "classification") -> "Params":
        """Read the sections as `role` has them: its own section puts keys of its own in the place of others.

        Raises ParamsError naming the key that is wrong.
        """
        if has_section(path, "mask"):
            raise ParamsError(f"{path}: the section 'mask' is called 'segmentation' now, with the same keys: rename it")
        name, kind = OWN_SECTIONS.get(role, ("", None))
        own: OwnParams | None = read_section(path, name, kind) if kind else None
        crops = own if isinstance(own, CropParams) else None
        return cls(
            contract=read_section(path, "contract", ContractParams, crops.contract if crops else {}, name),
            model=read_section(path, "model", ModelParams, own.model if own else {}, name),
            train=read_section(path, "train", TrainParams, own.train if own else {}, name),
            augment=read_section(path, "augment", AugmentParams, own.augment if own else {}, name),
            segmentation=own if isinstance(own, SegmentationParams) else None,
            detection=own if isinstance(own, DetectionParams) else None,
            crops=crops,
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
