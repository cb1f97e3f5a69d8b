"""What all documents of evaluation are made of: frozen, no unknown key, undefined figures are null."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from project.write_whole import write_whole

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class EvaluationError(ValueError):
    """An evaluation that is missing or malformed, or that does not belong to what it is shown with."""


class Document(BaseModel):
    """Base of every document and of its parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def write(self, path: Path) -> None:
        """Write JSON whole or not at all."""
        write_whole(path, self.model_dump_json(indent=2) + "\n")


Read = TypeVar("Read", bound=BaseModel)


def read_document(kind: type[Read], path: Path, name: str, remedy: str, error: type[Exception]) -> Read:
    """Read a JSON document of that kind.

    Raises `error`, which calls it by `name` and says to run `remedy`, if it is missing or malformed.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise error(f"cannot read the {name} {path}: {exc.strerror}; run {remedy}") from exc
    except ValidationError as exc:
        raise error(f"{path} is not a valid {name}: {exc}; run {remedy}") from exc


class Estimate(Document):
    """A figure in [0, 1] and its interval; `value` is null if undefined, the ends if too few groups bear on it."""

    value: Share | None
    low: Share | None = None
    high: Share | None = None


def _without_interval(value: Any) -> Any:
    return {"value": value} if isinstance(value, int | float) else value


# A figure that documents written earlier give as a plain number: read from one, it has no interval.
SinceEstimated = Annotated[Estimate, BeforeValidator(_without_interval)]


class Figure(Document):
    """A figure of any range, such as a difference, a ratio or a cost, and its interval; null as in `Estimate`."""

    value: float | None
    low: float | None = None
    high: float | None = None


class WrongPrediction(Document):
    """One image that was called something else; probabilities of what it was called and of what it is."""

    path: str
    label: str
    group: str
    predicted: str
    probability: Share
    label_probability: Share
