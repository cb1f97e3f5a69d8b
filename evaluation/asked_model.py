"""Which model a table of predictions is of, where `evaluation.predict` asked one: a document beside the table.

Without it nothing in a table tells a service's answers from those of the trained checkpoint, and a model card would
state the former as the figures of its own model.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from evaluation.document import Document, read_document
from evaluation.predictions import PredictionsError
from runtime.model.hashing import file_sha256

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class AskedModel(Document):
    """`asked` is the service's address or the model's folder, `onnx_sha256` the hash of the ONNX file that answered."""

    asked: str
    onnx_sha256: Sha256


class _Record(AskedModel):
    """What lies beside the table whose file has the hash `predictions_sha256`, and speaks of no other."""

    predictions_sha256: Sha256


def write_asked_model(predictions_path: Path, model: AskedModel) -> None:
    """Write beside the table, which must be there, which model it is of."""
    record = _Record(**model.model_dump(), predictions_sha256=file_sha256(predictions_path))
    record.write(_record_path(predictions_path))


def read_asked_model(predictions_path: Path) -> AskedModel | None:
    """Return which model was asked; None for a table that `evaluation.predict` did not write.

    Raises PredictionsError if the record is malformed or the table cannot be read.
    """
    path = _record_path(predictions_path)
    if not path.is_file():
        return None
    try:
        record = read_document(_Record, path, "record of the asked model", "evaluation.predict", PredictionsError)
        is_of_table = record.predictions_sha256 == file_sha256(predictions_path)
    except OSError as exc:
        raise PredictionsError(f"cannot read the predictions {predictions_path}: {exc.strerror}") from exc
    # Another command may have written its table over the one that the record speaks of.
    return AskedModel(asked=record.asked, onnx_sha256=record.onnx_sha256) if is_of_table else None


def refuse_other_model(predictions_path: Path, onnx_sha256: str) -> None:
    """Raise PredictionsError if the table is of a model that was asked and has another hash than `onnx_sha256`."""
    model = read_asked_model(predictions_path)
    if model and model.onnx_sha256 != onnx_sha256:
        raise PredictionsError(
            f"{predictions_path} holds the answers of {model.asked} (ONNX file {model.onnx_sha256[:12]}), but the "
            f"model is {onnx_sha256[:12]}; predict again with this model (python -m training.predict)"
        )


def _record_path(predictions_path: Path) -> Path:
    return predictions_path.with_suffix(".model.json")
