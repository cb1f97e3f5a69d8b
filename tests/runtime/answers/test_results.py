"""Columns of a batch's output get the names that the contract gives them."""

import numpy as np
import pytest

from runtime.answers.results import InvalidOutput, ModelIdentity, ModelOutputError, only_predictions, to_predictions
from tests.onnx_fixture import tiny_contract

MODEL = ModelIdentity(name="m", version="1", sha256="0" * 64)


def test_each_row_is_named_by_the_contract_and_the_order_is_kept() -> None:
    probs = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], np.float32)
    logits = np.array([[1, 2, 3], [6, 5, 4]], np.float32)
    answers = to_predictions(probs, logits, tiny_contract(classes=("x", "y", "z")), MODEL)
    first, second = only_predictions(answers)
    assert (first.label, first.class_id, second.label, second.class_id) == ("z", 2, "x", 0)
    assert first.probability == first.probabilities["z"] == float(np.float32(0.7))
    assert second.logits == {"x": 6.0, "y": 5.0, "z": 4.0}
    assert first.model == MODEL


def test_certain_class_that_rounds_above_one_is_one() -> None:
    probs = np.array([[1.0000001, 0, 0]], np.float32)
    [prediction] = only_predictions(to_predictions(probs, probs, tiny_contract(), MODEL))
    assert prediction.probability == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("is_logit", [False, True])
def test_row_that_is_not_finite_is_no_prediction_and_its_neighbours_are(value: float, is_logit: bool) -> None:
    probs = np.full((3, 3), 1 / 3, np.float32)
    logits = np.zeros((3, 3), np.float32)
    (logits if is_logit else probs)[1, 2] = value
    answers = to_predictions(probs, logits, tiny_contract(), MODEL)
    assert [isinstance(answer, InvalidOutput) for answer in answers] == [False, True, False]
    with pytest.raises(ModelOutputError, match=r"image 1: .* not finite") as failed:
        only_predictions(answers)
    assert failed.value.index == 1
