"""Sections of `params.yaml` that training reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from project.params import ParamsError, Section, read_section
from runtime.model.contract import Filters, Interpolation, MaxValue, ResizeRule
from training.batch_params import AugmentParams, BatchParams
from training.engine_params import Count, EngineParams
from training.segmentation_params import MaskParams

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


Head = Literal["linear", "mask"]


class ModelParams(Section):
    """`model:` which timm backbone and where its weights come from."""

    backbone: str
    pretrained: Literal["package", "hub", "none"]
    drop_rate: Share
    drop_path_rate: Share = 0.0  # stochastic depth
    head: Head = "linear"


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
    mask: MaskParams | None = None  # with `model.head: mask` only

    @classmethod
    def read(cls, path: Path) -> "Params":
        """Read the sections, with what `mask:` puts instead. Raises ParamsError naming the key that is wrong."""
        has_masks = read_section(path, "model", ModelParams).head == "mask"
        mask = read_section(path, "mask", MaskParams) if has_masks else None
        return cls(
            contract=read_section(path, "contract", ContractParams),
            model=read_section(path, "model", ModelParams, mask.model if mask else {}, "mask"),
            train=read_section(path, "train", TrainParams, mask.train if mask else {}, "mask"),
            augment=read_section(path, "augment", AugmentParams, mask.augment if mask else {}, "mask"),
            mask=mask,
        )

    def require_linear_head(self, command: str) -> None:
        """Raise ParamsError if there is another head than the one that `command` knows."""
        if self.model.head != "linear":
            raise ParamsError(
                f"model.head is {self.model.head}, but {command} knows only the linear head and would try another "
                "network than training: set model.head to linear"
            )

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
