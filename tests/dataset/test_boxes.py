"""Boxes are read by one rule: where they lie in a model's input, and what is ignored."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataset.boxes import AnnotatedBox, Boxes, boxes_file, objects_of, write_boxes
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest, ManifestError
from runtime.model.contract import DetectionContract, ResizeRule
from tests.onnx_fixture import tiny_contract

WIDTH, HEIGHT = 80, 40
DESCRIBED = {"name": "t", "title": "t", "summary": "t", "group_meaning": "t"}
CRACK = AnnotatedBox("crack", (8, 4, 24, 20))
HOLE = AnnotatedBox("hole", (40.25, 0, 80, 40))


def _manifest(root: Path, labels: list[str], *boxes: tuple[int, AnnotatedBox], objects: object = None) -> Manifest:
    """Return a manifest without pictures, described, with boxes of (row, box)."""
    names = sorted({box.object for _, box in boxes}) if objects is None else objects
    DataDescription.model_validate(DESCRIBED | {"objects": names}).write(root)
    if boxes:
        write_boxes(root, ((f"pictures/images/{row}.png", box) for row, box in boxes))
    table = pd.DataFrame({"path": [f"pictures/images/{row}.png" for row in range(len(labels))], "label": labels})
    table = table.reindex(columns=COLUMNS, fill_value="")
    return Manifest(table.assign(width=WIDTH, height=HEIGHT), root)


def _detector(*objects: str, merged: bool = False, resize: ResizeRule = "stretch") -> DetectionContract:
    half = (0.5, 0.5, 0.5)
    return DetectionContract(
        classes=("a", "b"), objects=objects, merged=merged, height=20, width=20, resize=resize, mean=half, std=half
    )


def test_what_is_written_is_read_in_the_pictures_own_pixels(tmp_path: Path) -> None:
    crowd = AnnotatedBox("crack", (1 / 3, 0, 79.9996, 39), ignored=True)
    manifest = _manifest(tmp_path, ["good", "crack"], (1, CRACK), (1, HOLE), (1, crowd))
    lines = boxes_file(tmp_path).read_text().splitlines()
    assert lines[0] == "path,object,left,top,right,bottom,ignored"
    assert lines[2:] == [
        "pictures/images/1.png,hole,40.25,0,80,40,0", "pictures/images/1.png,crack,0.333,0,80,39,1",
    ]  # fmt: skip
    boxes = Boxes(manifest, tiny_contract(20, 20))
    assert boxes.objects == ("crack", "hole")
    found = boxes.in_picture(1)
    np.testing.assert_array_equal(
        found.corners, np.asarray([[8, 4, 24, 20], [40.25, 0, 80, 40], [0.333, 0, 80, 39]], np.float32)
    )
    assert [str(part.dtype) for part in found] == ["float32", "uint8", "bool"]
    assert found.objects.tolist() == [0, 1, 0]
    assert found.ignored.tolist() == [False, False, True]
    assert [len(part) for part in boxes.in_picture(0)] == [0, 0, 0]
    assert boxes.in_picture(0).corners.shape == boxes.read(0).corners.shape == (0, 4)


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("stretch", [[2, 2, 6, 10], [10.0625, 0, 20, 20]]),
        ("letterbox", [[2, 6, 6, 10], [10.0625, 5, 20, 15]]),
        ("crop", [[0, 2, 2, 10], [10.125, 0, 20, 20]]),  # pixels 20 to 60 across; a quarter of the crack, half the hole
    ],
)
def test_boxes_lie_where_the_models_input_has_them(
    tmp_path: Path, resize: ResizeRule, expected: list[list[float]]
) -> None:
    boxes = Boxes(_manifest(tmp_path, ["crack"], (0, CRACK), (0, HOLE)), _detector("crack", "hole", resize=resize))
    found = boxes.read(0)
    np.testing.assert_allclose(found.corners, expected, atol=1e-5)
    assert not found.ignored.any()


def test_a_view_cuts_boxes_off_and_ignores_those_of_which_less_than_a_quarter_is_left(tmp_path: Path) -> None:
    boxes = Boxes(_manifest(tmp_path, ["crack"], (0, CRACK), (0, HOLE)), _detector("crack", "hole"))
    found = boxes.read(0, (0, 0, 0.5, 0.5))  # ends where the hole begins
    np.testing.assert_allclose(found.corners, [[4, 4, 12, 20]], atol=1e-5)
    assert (found.objects.tolist(), found.ignored.tolist()) == ([0], [False])
    assert boxes.read(0, (0.25, 0, 1, 1)).ignored.tolist() == [False, False]  # a quarter of the crack
    found = boxes.read(0, (0.26, 0, 1, 1))
    assert found.ignored.tolist() == [True, False]
    np.testing.assert_allclose(found.corners[0], [0, 2, 3.2 / 59.2 * 20, 10], atol=1e-5)


def test_an_object_without_a_box_is_unknown_and_another_class_holds_nothing(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, ["crack", "hole", "good"], (0, CRACK), objects=["crack", "hole"])
    boxes = Boxes(manifest, _detector("crack", "hole", resize="letterbox"))
    assert [len(boxes.read(row).objects) for row in range(3)] == [1, 2, 0]
    unknown = boxes.read(1, (0.5, 0.5, 1, 1))
    np.testing.assert_array_equal(unknown.corners, [[0, 5, 20, 15]] * 2)
    assert (unknown.objects.tolist(), unknown.ignored.tolist()) == ([0, 1], [True, True])
    np.testing.assert_array_equal(boxes.in_picture(1).corners, [[0, 0, WIDTH, HEIGHT]] * 2)


def test_numbers_are_those_of_the_model(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, ["good", "crack"], (0, CRACK), (0, HOLE))
    assert Boxes(manifest, _detector("hole", "crack")).read(0).objects.tolist() == [1, 0]
    merged = Boxes(manifest, _detector("object", merged=True))
    assert merged.objects == ("object",)
    assert merged.read(0).objects.tolist() == [0, 0]
    assert merged.read(1).ignored.tolist() == [True]
    with pytest.raises(ManifestError, match=r"a box of hole in pictures/images/0\.png, .*\(crack\): train again"):
        Boxes(manifest, _detector("crack")).read(0)


def test_data_without_boxes_have_no_objects_and_those_of_an_earlier_version_are_refused(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, ["crack"])
    assert objects_of(manifest) == Boxes(manifest, tiny_contract(20, 20)).objects == ()
    assert Boxes(manifest, _detector("crack")).read(0).ignored.tolist() == [True]
    (tmp_path / "description.json").write_text('{"name": "t", "title": "t", "summary": "t", "group_meaning": "t"}')
    assert objects_of(manifest) == ()
    with pytest.raises(ManifestError, match=r"nothing in .* says which objects .*: run `make data` again"):
        objects_of(Manifest(manifest.table.assign(mask="pictures/masks/0.png"), tmp_path))


@pytest.mark.parametrize(
    "line", ["hole,1,2,3,4,0", "crack,1,2,1,4,0", "crack,1,2,3,inf,0", "crack,1,,3,4,0", "crack,1,2,3,4,yes"]
)
def test_a_file_that_loading_did_not_write_is_named_with_the_line(tmp_path: Path, line: str) -> None:
    manifest = _manifest(tmp_path, ["crack"], (0, CRACK))
    with boxes_file(tmp_path).open("a") as file:
        file.write(f"pictures/images/0.png,{line}\n")
    with pytest.raises(ManifestError, match=r"boxes\.csv, line 3: no box of crack, .*run `make data` again"):
        Boxes(manifest, _detector("crack"))


def test_a_file_that_is_gone_or_of_other_columns_is_named(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, ["crack"], (0, CRACK))
    boxes_file(tmp_path).write_text("path,object\n")
    with pytest.raises(ManifestError, match=r"column\(s\) left, top, right, bottom, ignored missing; run `make data`"):
        Boxes(manifest, _detector("crack"))
    boxes_file(tmp_path).unlink()
    with pytest.raises(ManifestError, match=r"cannot read the boxes .*boxes\.csv: .*; run `make data` again"):
        Boxes(manifest, _detector("crack"))
