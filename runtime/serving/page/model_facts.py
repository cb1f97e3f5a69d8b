"""What the page tells of a served model: what it is, when it abstains, its card, and how it confuses classes."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import bentoml
from markupsafe import Markup
from pydantic import BaseModel, Field, ValidationError, model_validator

from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ModelContract, read_contract
from runtime.model.hashing import file_sha256
from runtime.model.roles import Role
from runtime.serving.page.card_html import render_card

logger = logging.getLogger(__name__)

_CARD_FILE, _EVALUATION_FILE = "MODEL_CARD.md", "evaluation.json"
_SHADES = 9  # of a cell's share of its row, beside none


class ConfusionMatrix(BaseModel):
    """Of an evaluation's test pictures: `confusion[i][j]` of class i were called class j."""

    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    confusion: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        size = len(self.classes)
        if len(self.confusion) != size or any(len(row) != size for row in self.confusion):
            raise ValueError(f"a confusion matrix of {size} classes has {size} rows of {size} numbers")
        return self

    @property
    def num_images(self) -> int:
        return sum(map(sum, self.confusion))

    def shade(self, row: int, column: int) -> int:
        """Return how dark a cell is, 0 to 9, by its share of the row: rare classes show as common ones do."""
        total = sum(self.confusion[row])
        count = self.confusion[row][column]
        return max(1, round(_SHADES * count / total)) if count else 0


@dataclass(frozen=True)
class ModelFacts:
    """One served model. card, confusion: None where the store's model comes without."""

    role: Role
    name: str
    version: str
    sha256: str
    contract: ModelContract
    card: Markup | None
    confusion: ConfusionMatrix | None

    @classmethod
    def read(cls, role: Role, model: bentoml.Model) -> Self:
        """Read what lies in the model store. Raises ContractError if the contract cannot be read."""
        folder = Path(model.path)
        card = _read_text(folder / _CARD_FILE)
        return cls(
            role=role,
            name=model.tag.name,
            version=model.tag.version or "",
            sha256=file_sha256(folder / ONNX_FILE),
            contract=read_contract(folder / CONTRACT_FILE),
            card=None if card is None else render_card(card),
            confusion=_read_confusion(folder / _EVALUATION_FILE),
        )

    @property
    def abstain_below(self) -> float | None:
        """The calibrated probability below which the model abstains; None if it never does."""
        return next((step.below for step in self.contract.filters if step.kind == "abstain"), None)


def _read_text(path: Path) -> str | None:
    """Return a file's text; None where there is none, also if it cannot be read, which the log then has."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        logger.warning("the page at /ui leaves out %s, which cannot be read: %s", path, exc)
        return None


def _read_confusion(path: Path) -> ConfusionMatrix | None:
    """Read the matrix of an evaluation; None for a document that holds none, such as one of another program."""
    text = _read_text(path)
    try:
        return None if text is None else ConfusionMatrix.model_validate_json(text)
    except ValidationError:
        return None
