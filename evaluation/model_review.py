"""The document of analyses that ask the exported model itself: `review.json`, written by `evaluation.review`."""

from pathlib import Path
from typing import Literal, Self

from evaluation.analyses.attention import Attention
from evaluation.analyses.robustness import Robustness
from evaluation.document import Document, read_document

REVIEW_FILE = "review.json"


class ReviewError(ValueError):
    """A review that is missing or malformed, or that cannot be made."""


class ModelReview(Document):
    """Robustness and attention of the model with `onnx_sha256` on the test split of the data with `data_sha256`."""

    schema_version: Literal[1] = 1
    onnx_sha256: str
    data_sha256: str
    robustness: Robustness
    attention: Attention

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a document. Raises ReviewError if it is missing or malformed."""
        return read_document(cls, path, "review", "evaluation.review", ReviewError)
