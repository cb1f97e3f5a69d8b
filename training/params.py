"""Sections of `params.yaml` that training reads."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dataset.params import Section, read_section
from runtime.contract import Interpolation, ResizeRule
from training.batch_params import AugmentParams, BatchParams

Share = Annotated[float, Field(ge=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class ContractParams(Section):
    """`contract:` what the model's input looks like; the rest of the contract follows from data and backbone."""

    height: Annotated[int, Field(ge=32, le=4096)]
    width: Annotated[int, Field(ge=32, le=4096)]
    resize: ResizeRule
    interpolation: Interpolation


class ModelParams(Section):
    """`model:` which timm backbone and where its weights come from."""

    backbone: str
    pretrained: Literal["package", "hub", "none"]
    drop_rate: Share


class TrainParams(BatchParams):
    """`train:` the optimisation. `batch_size` is over all processes together, so their number changes nothing."""

    seed: Count
    batch_size: Annotated[int, Field(ge=1)]
    head_epochs: Count
    epochs: Count
    head_lr: PositiveFloat
    lr: PositiveFloat
    backbone_lr_scale: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_weight_power: Annotated[float, Field(ge=0, le=2)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.head_epochs + self.epochs == 0:
            raise ValueError("head_epochs and epochs are both 0: nothing would be trained")
        return self


class Params(Section):
    """All of training's sections; `model_dump()` is what the log and MLflow record."""

    contract: ContractParams
    model: ModelParams
    train: TrainParams
    augment: AugmentParams

    @classmethod
    def read(cls, path: Path) -> "Params":
        """Read the sections. Raises ParamsError naming the key that is wrong."""
        return cls(
            contract=read_section(path, "contract", ContractParams),
            model=read_section(path, "model", ModelParams),
            train=read_section(path, "train", TrainParams),
            augment=read_section(path, "augment", AugmentParams),
        )

    def flat(self) -> dict[str, str | int | float | bool]:
        """Return `{"train.lr": 0.001, ...}`."""
        return {
            f"{section}.{key}": value for section, values in self.model_dump().items() for key, value in values.items()
        }
