"""Predicted boxes on disk: what is written is read, and what is no box is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.predicted_boxes import NO_BOXES, BoxTable, PredictedBoxes, boxes_of_outputs, write_boxes
from evaluation.predictions import Predictions, PredictionsError
from runtime.answers.classification import ModelIdentity
from runtime.answers.detection import to_detections
from runtime.model.contract import DetectionContract, Outputs
from runtime.model.preprocess import placement

CONTRACT = DetectionContract.model_validate(
    {"classes": ("a", "b"), "objects": ("Crack", "Fray"), "height": 48, "width": 64, "max_boxes": 3, "threshold": 0.3}
    | {"mean": (0.5,) * 3, "std": (0.5,) * 3}
)
TWO = PredictedBoxes(
    np.array([[1.25, 2, 30, 40], [0, 0, 1e-3, 7.123456]]), np.array([0.9, 1 / 3]), np.array([1, 0])
)  # fmt: skip
HEADER = "row,object,score,left,top,right,bottom\n"


def predictions(num_rows: int, classes: tuple[str, ...] = ("a", "b")) -> Predictions:
    rows = pd.DataFrame({"path": [f"{i}.png" for i in range(num_rows)], "label": "a", "group": "g", "split": "test"})
    return Predictions.from_table(rows, np.full((num_rows, 2), 0.5), classes)


def test_boxes_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_boxes(tmp_path / "boxes", [NO_BOXES, TWO, NO_BOXES, TWO], CONTRACT)
    lines = (tmp_path / "boxes/boxes.csv").read_text().splitlines()
    assert lines[:2] == [HEADER.strip(), "1,Fray,0.9,1.25,2,30,40"]
    table = BoxTable.read(tmp_path / "boxes")
    assert table.contract == CONTRACT
    for row, expected in enumerate((NO_BOXES, TWO, NO_BOXES, TWO, NO_BOXES)):
        found = table.of(row)
        for values, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(values, wanted, atol=1e-6)
            assert values.dtype == wanted.dtype


def test_a_picture_without_a_box_and_a_run_without_one_are_read(tmp_path: Path) -> None:
    write_boxes(tmp_path, [NO_BOXES], CONTRACT)
    assert (tmp_path / "boxes.csv").read_text() == HEADER
    assert BoxTable.read(tmp_path).of(0).corners.shape == (0, 4)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_boxes_above_the_threshold_are_those_that_the_service_answers(resize: str) -> None:
    contract = CONTRACT.model_copy(update={"resize": resize, "max_boxes": 5})
    outputs: Outputs = {
        "probabilities": np.array([[0.2, 0.8]], np.float32), "logits": np.zeros((1, 2), np.float32),
        "boxes": np.array([[[1, 2, 30, 40], [-9, 8, 20, 60], [0, 0, 0, 9], [5, 5, 9, 9], [1, 1, 2, 2]]], np.float32),
        "scores": np.array([[0.9, 0.6, 0.5, 0.2, 0.01]], np.float32), "objects": np.array([[1, 0, 1, 0, 0]], np.uint8),
    }  # fmt: skip
    places = [placement(200, 100, contract)]
    (found,) = boxes_of_outputs(outputs, places)
    (answer,) = to_detections(outputs, places, contract, ModelIdentity(name="m", version="1", sha256="0" * 64))
    assert answer is not None
    served = [(tuple(one.box.model_dump().values()), one.score, one.class_id) for one in answer.detections]
    surest = found.scores >= contract.threshold
    ours = zip(map(tuple, found.corners[surest].tolist()), found.scores[surest], found.objects[surest], strict=True)
    assert served == list(ours)
    assert found.scores.tolist() == pytest.approx([0.9, 0.6, 0.2])  # 0.01 and what has no area are left out


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"corners": np.array([[5, 2, 5, 40.0]])}, "left < right"),
        ({"corners": np.array([[np.nan, 2, 5, 40.0]])}, "left < right"),
        ({"corners": np.zeros((2, 4))}, r"\(2, 4\)"),
        ({"scores": np.array([1.5])}, r"in \[0, 1\]"),
        ({"objects": np.array([2])}, "0 to 1"),
    ],
)
def test_what_is_no_box_is_not_written(changes: dict[str, np.ndarray], named: str, tmp_path: Path) -> None:
    one = TWO.take(slice(1))
    with pytest.raises(ValueError, match=f"row 1: .*{named}"):
        write_boxes(tmp_path, [one, one._replace(**changes)], CONTRACT)
    with pytest.raises(ValueError, match="row 0: scores do not begin with the best"):
        write_boxes(tmp_path, [TWO.take(slice(None, None, -1))], CONTRACT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("row,object,score,left,top,right\n", "has no column bottom"),
        (f"{HEADER}0,Hole,0.5,1,1,2,2\n", "line 2: 'Hole' is no object of its contract (Crack, Fray)"),
        (f"{HEADER}0,Crack,high,1,1,2,2\n", "no table of predicted boxes"),
        (f"{HEADER}0,Crack,0.5,1,1,2,2\n0,Crack,nan,1,1,2,2\n", "line 3: expected a score in"),
        (f"{HEADER}-1,Crack,0.5,1,1,2,2\n", "line 2: expected a row of 0 or more"),
        (f"{HEADER}0,Crack,0.5,3,1,2,2\n", "line 2: expected left < right"),
        (f"{HEADER}0,Crack,0.5,1,1,2,2\n0,Crack,0.6,1,1,2,2\n", "line 3: expected rows to count up"),
        (f"{HEADER}1,Crack,0.5,1,1,2,2\n0,Crack,0.5,1,1,2,2\n", "line 3: expected rows to count up"),
    ],
)
def test_a_table_that_is_none_is_named_with_the_command(text: str, named: str, tmp_path: Path) -> None:
    write_boxes(tmp_path, [], CONTRACT)
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(PredictionsError) as refused:
        BoxTable.read(tmp_path)
    assert named in str(refused.value)
    assert str(tmp_path / "boxes.csv") in str(refused.value)
    assert "run python -m training.predict --task detection" in str(refused.value)


def test_boxes_of_other_predictions_are_refused(tmp_path: Path) -> None:
    write_boxes(tmp_path, [NO_BOXES, TWO], CONTRACT)
    table = BoxTable.read(tmp_path)
    table.refuse_other_predictions(predictions(2))
    with pytest.raises(PredictionsError, match="holds boxes of row 1, but the predictions have 1 rows"):
        table.refuse_other_predictions(predictions(1))
    with pytest.raises(PredictionsError, match="has the classes a, b, but the predictions a, c"):
        table.refuse_other_predictions(predictions(2, ("a", "c")))
    (tmp_path / "contract.json").unlink()
    with pytest.raises(PredictionsError, match=r"cannot read the model contract.*training\.predict --task detection"):
        BoxTable.read(tmp_path)
