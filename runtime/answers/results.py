"""Probabilities to an answer: the last step of the one way an image takes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from runtime.model.contract import ModelContract

# As OpenAPI 3.0 has it, which does not know JSON Schema's type "null".
_THRESHOLD_SCHEMA = {
    "type": "number",
    "nullable": True,
    "description": "calibrated probability below which the service abstains; null if it never does",
}
NOT_FINITE = "the model's output for this picture is not finite (NaN or infinity)"
FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


class ModelIdentity(BaseModel):
    """Which model answered."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(description="name in the model store")]
    version: Annotated[str, Field(description="version in the model store")]
    sha256: Annotated[str, Field(description="SHA-256 of the ONNX file")]


class Prediction(BaseModel):
    """What the model says of one image."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    label: Annotated[str, Field(description="the most probable class")]
    class_id: Annotated[int, Field(ge=0, description="index of that class in the model's contract")]
    probability: Annotated[float, Field(ge=0, le=1, description="calibrated probability of that class")]
    probabilities: Annotated[dict[str, float], Field(description="probability of every class; sums to 1")]
    logits: Annotated[dict[str, float], Field(description="score of every class before temperature and softmax")]
    abstained: Annotated[
        bool,
        Field(description="whether the probability is too low to rely on; the label is stated anyway"),
    ] = False
    abstain_below: Annotated[float | None, WithJsonSchema(_THRESHOLD_SCHEMA)] = None
    model: ModelIdentity


class ModelOutputError(RuntimeError):
    """The model's output for one image is no answer; `index` is its place among those that were asked for."""

    def __init__(self, index: int) -> None:
        super().__init__(f"image {index}: {NOT_FINITE}; to send it again does not help")
        self.index = index


@dataclass(frozen=True)
class InvalidOutput:
    """In place of a prediction: the output holds NaN or infinity, as where float16 or int8 arithmetic overflows.

    A value and not an exception, so that it concerns one image of a batch and nothing is computed again for the others.
    """


ImageAnswer = Prediction | InvalidOutput


def to_predictions(
    probs: FloatArray, logits: FloatArray, contract: ModelContract, model: ModelIdentity
) -> list[ImageAnswer]:
    """Name the columns of a batch's output.

    probs, logits: `(N, C)` float32 with C = len(contract.classes). Returns N answers in the same order; of equally
    probable classes the first wins, and a row with a value that is not finite is an InvalidOutput.
    """
    # argmax takes the first NaN for the largest, which would make the first class of nothing.
    is_finite = np.isfinite(np.concatenate([probs, logits], axis=1)).all(axis=1)
    rows = zip(probs, logits, probs.argmax(axis=1).tolist(), is_finite, strict=True)
    return [
        Prediction(
            label=contract.classes[best],
            class_id=best,
            # float32 may round a certain class to just above 1.
            probability=min(1.0, float(row[best])),
            probabilities=dict(zip(contract.classes, row.tolist(), strict=True)),
            logits=dict(zip(contract.classes, scores.tolist(), strict=True)),
            model=model,
        )
        if is_valid
        else InvalidOutput()
        for row, scores, best, is_valid in rows
    ]


def only_predictions(answers: Iterable[ImageAnswer]) -> list[Prediction]:
    """Return a request's answers if each is a prediction. Raises ModelOutputError for the first that is none."""
    predictions = []
    for index, answer in enumerate(answers):
        if isinstance(answer, InvalidOutput):
            raise ModelOutputError(index)
        predictions.append(answer)
    return predictions
