"""Two models' boxes on the same pictures: differences by hand, groups drawn together."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.boxes.matching import Truth
from evaluation.boxes.object_table import ObjectTable
from evaluation.boxes.paired import compare_boxes, find_object_table, read_object_table
from evaluation.boxes.picture_boxes import PictureBoxes
from evaluation.document import EvaluationError
from evaluation.params import EvaluateParams
from evaluation.predicted_boxes import NO_BOXES, PredictedBoxes
from evaluation.predictions import Predictions

PARAMS = EvaluateParams(seed=0, confidence=0.95, bootstrap_samples=200)
NAMES = ("old", "new")
SQUARE, BESIDE = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 8.0)  # the second reaches IoU 0.8: 7 of 10 levels
OBJECTS = ("Crack", "Fray")


def table(*found: tuple[float, ...] | None, last: bool = False) -> ObjectTable:
    """Return four pictures of two tiles with a crack each and, the last, a fray; found: of each crack."""
    pictures = []
    for place, corners in enumerate(found):
        names = [0, 1] if last and place == len(found) - 1 else [0]
        truth = Truth(np.array([SQUARE] * len(names)), np.array(names), np.zeros(len(names), bool))
        boxes = NO_BOXES if corners is None else PredictedBoxes(np.array([corners]), np.array([0.9]), np.array([0]))
        pictures.append(PictureBoxes(truth, boxes, 0.5))
    paths = np.array([f"{place}.png" for place in range(len(found))], dtype=object)
    return ObjectTable(paths, np.array(["x", "x", "y", "y"], dtype=object), OBJECTS, tuple(pictures))


def test_differences_are_those_computed_by_hand() -> None:
    first, second = table(SQUARE, SQUARE, None, None), table(SQUARE, SQUARE, BESIDE, BESIDE)
    mean, crack, fray = compare_boxes(first, second, NAMES, PARAMS)
    assert (mean.name, crack.name, fray.name) == ("", "Crack", "Fray")
    assert (crack.num_objects, crack.num_groups, fray.num_objects) == (4, 2, 0)
    half = 51 / 101
    assert [crack.ap50.first, crack.ap50.second, crack.ap50.difference] == pytest.approx([half, 1, 1 - half])
    # From IoU 0.85 on the second is no better, and its wrong boxes do not come first.
    assert crack.ap.difference == pytest.approx((1 - half) * 0.7)
    assert mean.ap == crack.ap  # no fray is there
    assert (fray.ap.first, fray.ap.difference) == (None, None)
    # Resamples hold tile x alone, y alone or both.
    assert [crack.ap50.low, crack.ap50.high] == [0, 1]


def test_the_mean_is_over_objects_that_are_there() -> None:
    first, second = (table(*found, last=True) for found in ([None] * 4, [SQUARE] * 4))
    mean, crack, fray = compare_boxes(first, second, NAMES, PARAMS)
    assert [one.ap50.difference for one in (mean, crack, fray)] == pytest.approx([0.5, 1, 0])
    assert (mean.num_objects, fray.num_groups, fray.ap50.low) == (5, 1, None)


def test_what_is_equal_in_every_group_differs_by_nothing_in_every_resample() -> None:
    same = table(SQUARE, BESIDE, None, SQUARE)
    mean = compare_boxes(same, same, NAMES, PARAMS)[0]
    assert (mean.ap.difference, mean.ap.low, mean.ap.high) == (0, 0, 0)


def test_objects_are_matched_by_name_and_others_refused() -> None:
    first = table(SQUARE, SQUARE, None, None)
    turned = first.in_order_of(("Fray", "Crack"))
    assert [part.ap.difference for part in compare_boxes(first, turned, NAMES, PARAMS)] == [0, 0, None]
    other = dataclasses.replace(first, objects=("Crack", "Break"))
    with pytest.raises(EvaluationError, match="old knows the objects Crack, Fray, new Crack, Break"):
        compare_boxes(first, other, NAMES, PARAMS)


def test_other_true_boxes_are_refused_by_the_picture() -> None:
    first = table(SQUARE, SQUARE, None, None)
    moved = first.pictures[2].truth._replace(corners=np.array([BESIDE]))
    for truth in (moved, first.pictures[2].truth._replace(ignored=np.array([True]))):
        pictures = (*first.pictures[:2], first.pictures[2]._replace(truth=truth), first.pictures[3])
        second = dataclasses.replace(first, pictures=pictures)
        with pytest.raises(EvaluationError, match=r"old and new were measured against other true boxes in 2\.png"):
            compare_boxes(first, second, NAMES, PARAMS)
    unknown = (first.pictures[0]._replace(is_unknown=True), *first.pictures[1:])
    with pytest.raises(EvaluationError, match="do not know the objects of the same pictures"):
        compare_boxes(first, dataclasses.replace(first, pictures=unknown), NAMES, PARAMS)


def test_a_table_is_found_beside_the_predictions_and_brought_to_their_order(tmp_path: Path) -> None:
    first = table(SQUARE, SQUARE, None, None)
    assert find_object_table(tmp_path / "predictions.csv") is None
    first.write(tmp_path / "objects.csv")
    assert find_object_table(tmp_path / "predictions.csv") == tmp_path / "objects.csv"
    first.write(tmp_path / "evaluation/objects.csv")
    found = find_object_table(tmp_path / "predictions.csv")
    assert found == tmp_path / "evaluation/objects.csv"
    paths = first.paths[[2, 0, 1, 3]]
    rows = pd.DataFrame({"path": paths, "label": "a", "group": ["y", "x", "x", "y"], "split": "test"})
    pictures = Predictions.from_table(rows, np.full((4, 2), 0.5), ("a", "b"))
    assert read_object_table(found, pictures).groups.tolist() == ["y", "x", "x", "y"]
    with pytest.raises(EvaluationError, match=r"holds 4, and 0 of 3 are not among them; run python"):
        read_object_table(found, pictures.take(np.arange(3)))
