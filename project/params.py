"""Read one section of `params.yaml` into a frozen pydantic model.

Each room declares its own section beside the code that uses it; this is the one reader. A key nobody knows, a missing
key or a value out of range is an error that names the file, the section and the key.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

PARAMS_FILE = Path("params.yaml")


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ModelT = TypeVar("ModelT", bound=BaseModel)


class ParamsError(ValueError):
    """A params file that cannot be read or does not fit."""


def add_params_option(parser: argparse._ActionsContainer, purpose: str | None = None) -> None:
    """Give a command the option `--params`; purpose: its line in `--help`."""
    parser.add_argument("--params", type=Path, default=PARAMS_FILE, help=purpose)


def read_section(
    path: Path, name: str, model: type[ModelT], instead: Mapping[str, Any] | None = None, by: str = ""
) -> ModelT:
    """Read section `name` of the YAML file at `path`; the keys `instead`, of the section `by`, replace its own.

    Raises ParamsError if the file, the section or a key is missing, unknown or out of range.
    """
    document = _read_yaml(path)
    if not isinstance(document, dict) or name not in document:
        raise ParamsError(f"{path} has no section '{name}'")
    section = {**document[name], **instead} if instead else document[name]
    return _validated(path, section, model, lambda keys: _place(name, keys, instead, by))


def has_section(path: Path, name: str) -> bool:
    """Tell whether the YAML file at `path` has the section. Raises ParamsError if it cannot be read."""
    document = _read_yaml(path)
    return isinstance(document, dict) and name in document


def read_whole(path: Path, model: type[ModelT]) -> ModelT:
    """Read a YAML file that is one section. Raises ParamsError as `read_section` does."""
    return _validated(path, _read_yaml(path), model, lambda keys: ".".join(map(str, keys)))


def _read_yaml(path: Path) -> object:
    try:
        # The parser in C: every command reads several sections, and Python's own takes 15 ms for each.
        return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ParamsError(f"cannot read {path}: {exc}") from exc


def _validated(
    path: Path, document: object, model: type[ModelT], place: Callable[[tuple[int | str, ...]], str]
) -> ModelT:
    try:
        return model.model_validate(document)
    except ValidationError as exc:
        problems = "; ".join(f"{place(error['loc'])}: {error['msg']}" for error in exc.errors())
        raise ParamsError(f"{path}: {problems}") from exc


def _place(name: str, keys: tuple[int | str, ...], instead: Mapping[str, Any] | None, by: str) -> str:
    """Return where a key stands in the file: `train.lr`, or `mask.train.lr` where that replaces it."""
    is_replaced = bool(instead and keys and keys[0] in instead)
    return ".".join(map(str, (*((by,) if is_replaced else ()), name, *keys)))
