"""Read one section of `params.yaml` into a frozen pydantic model.

Each room declares its own section beside the code that uses it; this is the one reader. A key nobody knows, a missing
key or a value out of range is an error that names the file, the section and the key.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PARAMS_FILE = Path("params.yaml")


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


SectionT = TypeVar("SectionT", bound=Section)


class ParamsError(ValueError):
    """A params file that cannot be read or does not fit."""


class DataParams(Section):
    """`data:` how pictures become a manifest."""

    near_duplicate_correlation: Annotated[float, Field(gt=0, le=1)]


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


def read_section(
    path: Path, name: str, model: type[SectionT], instead: Mapping[str, Any] | None = None, by: str = ""
) -> SectionT:
    """Read section `name` of the YAML file at `path`; the keys `instead`, of the section `by`, replace its own.

    Raises ParamsError if the file, the section or a key is missing, unknown or out of range.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ParamsError(f"cannot read {path}: {exc}") from exc
    if not isinstance(document, dict) or name not in document:
        raise ParamsError(f"{path} has no section '{name}'")
    try:
        return model.model_validate({**document[name], **instead} if instead else document[name])
    except ValidationError as exc:
        problems = "; ".join(f"{_place(name, error['loc'], instead, by)}: {error['msg']}" for error in exc.errors())
        raise ParamsError(f"{path}: {problems}") from exc


def _place(name: str, keys: tuple[int | str, ...], instead: Mapping[str, Any] | None, by: str) -> str:
    """Return where a key stands in the file: `train.lr`, or `mask.train.lr` where that replaces it."""
    is_replaced = bool(instead and keys and keys[0] in instead)
    return ".".join(map(str, (*((by,) if is_replaced else ()), name, *keys)))
