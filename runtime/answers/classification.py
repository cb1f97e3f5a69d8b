"""What the model says of a whole image: probabilities and logits to names."""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from runtime.model.contract import LOGITS, PROBABILITIES, ModelContract, Outputs

# As OpenAPI 3.0 has it, which does not know JSON Schema's type "null".
_THRESHOLD_SCHEMA = {
    "type": "number",
    "nullable": True,
    "description": "calibrated probability below which the service abstains; null if it never does",
}


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
    marks: Annotated[
        tuple[str, ...], Field(description="what filters that looked at the image say of it; empty where none does")
    ] = ()
    model: ModelIdentity


def to_predictions(outputs: Outputs, contract: ModelContract, model: ModelIdentity) -> list[Prediction | None]:
    """Give every image's row of the outputs the names that the contract has for its columns.

    outputs: `probabilities` and `logits`, each `(N, C)` float32 with C = len(contract.classes). Returns N answers in
    the same order; of equally probable classes the first wins. None stands for a row with a value that is not finite,
    as where float16 or int8 arithmetic overflows: it concerns one image, and the others have their answers.
    """
    probs, logits = outputs[PROBABILITIES], outputs[LOGITS]
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
        else None
        for row, scores, best, is_valid in rows
    ]
