"""Columns of a batch's output get the names that the contract gives them."""

import numpy as np

from runtime.results import ModelIdentity, to_predictions
from tests.onnx_fixture import tiny_contract

MODEL = ModelIdentity(name="m", version="1", sha256="0" * 64)


def test_each_row_is_named_by_the_contract_and_the_order_is_kept() -> None:
    probs = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], np.float32)
    logits = np.array([[1, 2, 3], [6, 5, 4]], np.float32)
    first, second = to_predictions(probs, logits, tiny_contract(classes=("x", "y", "z")), MODEL)
    assert (first.label, first.class_id, second.label, second.class_id) == ("z", 2, "x", 0)
    assert first.probability == first.probabilities["z"] == float(np.float32(0.7))
    assert second.logits == {"x": 6.0, "y": 5.0, "z": 4.0}
    assert first.model == MODEL


def test_certain_class_that_rounds_above_one_is_one() -> None:
    probs = np.array([[1.0000001, 0, 0]], np.float32)
    [prediction] = to_predictions(probs, probs, tiny_contract(), MODEL)
    assert prediction.probability == 1.0
