"""The document that an evaluation leaves: everything that the report and the model card state, and nothing else.

It is written as `evaluation.json` and travels with the model. Undefined figures are null.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataset.manifest import Protocol

EVALUATION_FILE = "evaluation.json"
BY_IMAGE_FILE = "by_image.json"

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class EvaluationError(ValueError):
    """An evaluation that is missing or malformed, or that does not belong to what it is shown with."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Document):
    """A figure in [0, 1] and its interval; `value` is null if undefined, the ends if too few groups bear on it."""

    value: Share | None
    low: Share | None = None
    high: Share | None = None


class ClassResult(_Document):
    """What one class got; `num_images` is its support."""

    name: str
    num_images: Count
    num_groups: Count
    num_predicted: Count
    precision: Estimate
    recall: Estimate
    f1: Estimate


class Confusion(_Document):
    """Images of class `actual` that were called `predicted`, and how many groups they come from."""

    actual: str
    predicted: str
    num_images: Count
    num_groups: Count


class SliceResult(_Document):
    """The figures of all test images whose `attribute` has `value`."""

    attribute: str
    value: str
    num_images: Count
    num_groups: Count
    accuracy: Estimate
    macro_f1: Share


class WrongPrediction(_Document):
    """One image that was called something else; probabilities of what it was called and of what it is."""

    path: str
    label: str
    group: str
    predicted: str
    probability: Share
    label_probability: Share


class Evaluation(_Document):
    """Result of one protocol on the test split.

    `num_seen_in_training` counts test images whose group has images in training; `leaking` says whether there are
    any. `confusion[i][j]` counts images of class i called class j. `majority_share` is the accuracy of always
    answering the most frequent class, `majority_class`. `wrong` lists the most confident wrong predictions, of
    `num_wrong`.
    """

    schema_version: Literal[1] = 1
    protocol: Protocol
    split: Literal["test"] = "test"
    leaking: bool
    num_seen_in_training: Count
    classes: tuple[str, ...]
    num_images: Count
    num_groups: Count
    majority_class: str
    majority_share: Share
    accuracy: Estimate
    macro_f1: Estimate
    balanced_accuracy: Estimate
    per_class: tuple[ClassResult, ...]
    confusion: tuple[tuple[Count, ...], ...]
    confusions: tuple[Confusion, ...]
    slices: tuple[SliceResult, ...]
    min_slice_images: Count
    num_smaller_slices: Count
    num_wrong: Count
    wrong: tuple[WrongPrediction, ...]
    confidence: Share
    bootstrap_samples: Count
    num_resamples_missing_a_class: Count
    seed: Count
    data_sha256: str

    def write(self, path: Path) -> None:
        """Write the document whole or not at all."""
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a document. Raises EvaluationError if it is missing or malformed."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise EvaluationError(
                f"cannot read the evaluation {path}: {exc.strerror}; run evaluation.evaluate"
            ) from exc
        except ValidationError as exc:
            raise EvaluationError(f"{path} is not a valid evaluation: {exc}") from exc
