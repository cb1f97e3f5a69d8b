"""`objects.csv`: what is written is read, pictures and objects are found by name, and what is no table is named."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.boxes.matching import Truth
from evaluation.boxes.object_table import ObjectTable
from evaluation.boxes.picture_boxes import PictureBoxes
from evaluation.document import EvaluationError
from evaluation.predicted_boxes import NO_BOXES, PredictedBoxes

NOTHING = Truth(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, bool))
TRUTH = Truth(np.array([[1.125, 2, 3, 4], [5, 5, 9, 9]]), np.array([1, 0]), np.array([False, True]))
FOUND = PredictedBoxes(np.array([[1.0, 2, 3, 4], [0, 0, 1, 1]]), np.array([0.75, 1 / 3]), np.array([0, 1]))


def table() -> ObjectTable:
    pictures = (
        PictureBoxes(TRUTH, FOUND, 0.3), PictureBoxes(NOTHING, NO_BOXES, 0.3), PictureBoxes(NOTHING, FOUND, 0.3, True),
    )  # fmt: skip
    paths, groups = (np.array(names, dtype=object) for names in (["a", "b", "c"], ["x", "y", "y"]))
    return ObjectTable(paths, groups, ("Crack", "Fray"), pictures)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table().write(tmp_path / "objects.csv")
    read = ObjectTable.read(tmp_path / "objects.csv")
    assert (read.objects, read.paths.tolist(), read.groups.tolist()) == (
        ("Crack", "Fray"), ["a", "b", "c"], ["x", "y", "y"],
    )  # fmt: skip
    for one, expected in zip(read.pictures, table().pictures, strict=True):
        assert (one.threshold, one.is_unknown) == (expected.threshold, expected.is_unknown)
        for values, wanted in zip((*one.truth, *one.found), (*expected.truth, *expected.found), strict=True):
            np.testing.assert_array_equal(values, wanted)


def test_pictures_are_taken_by_path_and_the_unknown_left_out() -> None:
    assert table().at(["c", "a"]).groups.tolist() == ["y", "x"]
    assert table().known().paths.tolist() == ["a", "b"]


def test_objects_are_renumbered_by_name_and_others_left_out() -> None:
    turned = table().in_order_of(("Fray", "Crack")).pictures[0]
    assert (turned.truth.objects.tolist(), turned.found.objects.tolist()) == ([0, 1], [1, 0])
    one = table().in_order_of(("Fray",)).pictures[0]
    assert (one.truth.objects.tolist(), one.truth.ignored.tolist()) == ([0], [False])
    assert (one.found.objects.tolist(), one.found.scores.tolist()) == ([0], [1 / 3])


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("kind", "sort", "'kind'"),
        ("ignored", "overlooked", "a kind is not one of name, picture, unknown, there, ignored, found"),
        (",there,Fray", ",there,Hole", "'Hole'"),
        (",there,Fray", ",there,", "a box has no object"),
        (",0.75,", ",,", "a box or a picture has no score"),
        (",0.75,1.0", ",0.75,9.0", "not left <= right"),
        (",0.75,1.0", ",0.75,left", "could not convert"),
    ],
)
def test_what_is_no_table_is_named_with_the_command(old: str, new: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "objects.csv"
    table().write(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(EvaluationError) as refused:
        ObjectTable.read(path)
    assert named in str(refused.value)
    assert f"{path} is no table of objects" in str(refused.value)
    assert "run python -m evaluation.evaluate with --boxes" in str(refused.value)
    with pytest.raises(EvaluationError, match=r"cannot read .*none\.csv: No such file"):
        ObjectTable.read(tmp_path / "none.csv")
