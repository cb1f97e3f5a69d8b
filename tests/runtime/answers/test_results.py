"""Columns of a batch's output get the names that the contract gives them."""

import numpy as np
import pytest

from runtime.answers.outputs import stack_rows, to_rows
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.answers.results import ModelIdentity, only_predictions, to_predictions
from runtime.model.contract import Outputs
from tests.onnx_fixture import tiny_contract


def outputs_of(probs: list[list[float]], logits: list[list[float]]) -> Outputs:
    return {"probabilities": np.array(probs, np.float32), "logits": np.array(logits, np.float32)}


MODEL = ModelIdentity(name="m", version="1", sha256="0" * 64)


def test_each_row_is_named_by_the_contract_and_the_order_is_kept() -> None:
    outputs = outputs_of([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], [[1, 2, 3], [6, 5, 4]])
    answers = to_predictions(outputs, tiny_contract(classes=("x", "y", "z")), MODEL)
    first, second = only_predictions(answers)
    assert (first.label, first.class_id, second.label, second.class_id) == ("z", 2, "x", 0)
    assert first.probability == first.probabilities["z"] == float(np.float32(0.7))
    assert second.logits == {"x": 6.0, "y": 5.0, "z": 4.0}
    assert first.model == MODEL


def test_certain_class_that_rounds_above_one_is_one() -> None:
    outputs = outputs_of([[1.0000001, 0, 0]], [[9, 0, 0]])
    [prediction] = only_predictions(to_predictions(outputs, tiny_contract(), MODEL))
    assert prediction.probability == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("is_logit", [False, True])
def test_row_that_is_not_finite_is_no_prediction_and_its_neighbours_are(value: float, is_logit: bool) -> None:
    outputs = outputs_of([[1 / 3] * 3] * 3, [[0.0] * 3] * 3)
    outputs["logits" if is_logit else "probabilities"][1, 2] = value
    answers = to_predictions(outputs, tiny_contract(), MODEL)
    assert [answer is None for answer in answers] == [False, True, False]
    with pytest.raises(RequestRefused, match=r"^image 1: .* not finite") as failed:
        only_predictions(answers)
    assert (failed.value.code, failed.value.index) == (RequestErrorCode.MODEL_OUTPUT_INVALID, 1)


@pytest.mark.parametrize("num_images", [1, 3])
def test_outputs_of_any_shape_come_back_from_their_rows(num_images: int) -> None:
    rng = np.random.default_rng(0)
    outputs = {name: rng.random((num_images, *shape), np.float32) for name, shape in (("a", (4,)), ("b", (2, 3, 5)))}
    rows = to_rows(outputs)
    assert [list(row) for row in rows] == [["a", "b"]] * num_images
    again = stack_rows(rows)
    assert all(np.array_equal(again[name], output) for name, output in outputs.items())
