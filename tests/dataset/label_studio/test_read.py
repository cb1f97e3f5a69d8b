"""`make data DATA=export.json`: what Label Studio exports becomes pictures, classes, boxes and masks, or is named."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataset.annotations import read_mask
from dataset.data_source import DataSource
from dataset.label_studio.read import read_label_studio, read_labelled
from dataset.load import load
from dataset.manifest import Manifest, ManifestError
from dataset.params import DataParams
from dataset.source import decide_source
from runtime.label_studio.results import brush_result
from tests.dataset.label_studio.exports import (
    BRUSH,
    annotation,
    box,
    brush,
    drawn,
    nothing,
    said,
    task,
    write_export,
)
from tests.dataset.picture_files import save, texture

PARAMS = DataParams(near_duplicate_correlation=0.9)


def _loaded(path: Path, data: Path) -> Manifest:
    return load(decide_source(str(path), "", None, data / "source.yaml"), data, PARAMS)


def test_classes_become_the_labels_of_the_pictures_by_their_own_names(tmp_path: Path) -> None:
    tasks = [task(number, annotation(said("scratch" if number % 2 else "good"))) for number in range(6)]
    table = _loaded(write_export(tmp_path, tasks), tmp_path / "data").table
    assert dict(zip(table["path"], table["label"], strict=True)) == {
        f"pictures/images/line 1/tile{number}.png": "scratch" if number % 2 else "good" for number in range(6)
    }


def test_boxes_are_read_in_pixels_and_nothing_to_mark_is_the_normal_class(tmp_path: Path) -> None:
    tasks = [
        task(1, annotation(box("scratch", (1.5, 2.25, 30.125, 40.0)), box("dent", (50, 50, 128, 96), "c"))),
        task(2, annotation(nothing())),
    ]
    manifest = _loaded(write_export(tmp_path, tasks), tmp_path / "data")
    assert manifest.table["label"].tolist() == ["dent", "good"]
    boxes = pd.read_csv(tmp_path / "data/pictures/boxes.csv")
    assert boxes.values.tolist() == [
        ["pictures/images/line 1/tile1.png", "scratch", 1.5, 2.25, 30.125, 40, 0],
        ["pictures/images/line 1/tile1.png", "dent", 50, 50, 128, 96, 0],
    ]


def test_brushes_are_read_as_masks_pixel_for_pixel(tmp_path: Path) -> None:
    tasks = [
        task(1, annotation(brush("scratch", (5, 6, 40, 30)), brush("dent", (60, 50, 70, 60), "n"))),
        task(2, annotation(nothing())),
    ]
    manifest = _loaded(write_export(tmp_path, tasks), tmp_path / "data")
    expected = np.where(drawn((5, 6, 40, 30)), 2, np.where(drawn((60, 50, 70, 60)), 1, 0))
    np.testing.assert_array_equal(read_mask(tmp_path / "data/pictures/masks/line 1/tile1.png.png"), expected)
    assert manifest.table["label"].tolist() == ["scratch", "good"]


def test_what_says_nothing_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tasks = [
        task(1, annotation(said("good"))),
        task(2),
        task(3, annotation(was_cancelled=True)),
        task(4, annotation()),
        task(5, annotation(said("good")), annotation(said("scratch"), by=2)),
        task(6, annotation(box("dent", (1, 1, 9, 9)), nothing())),
        task(7, annotation(said("scratch"), by=2), annotation(said("good"), ground_truth=True)),
        task(8, annotation(was_cancelled=True), annotation(said("scratch"), by=2)),
    ]
    path = write_export(tmp_path, tasks)
    labelled = read_labelled(path)
    assert {one.task: one.answer.label for one in labelled.pictures} == {1: "good", 7: "good", 8: "scratch"}
    assert {number: why.kind for number, why in labelled.left_out.items()} == {
        2: "unlabelled", 3: "skipped", 4: "empty", 5: "conflict", 6: "unusable",
    }  # fmt: skip
    with caplog.at_level(logging.WARNING):
        read_label_studio(path, None, "")
    assert "5 task(s) are left out: task 2 (nobody has labelled it)" in caplog.text
    assert "task 5 (annotator 1 and annotator 2 disagree: good against scratch)" in caplog.text


@pytest.mark.parametrize(
    ("second", "is_same"),
    [
        ((10, 10, 50, 50), True),
        ((10, 10, 50, 45), True),
        ((10, 10, 50, 30), False),
        ((60, 60, 90, 90), False),
    ],
)
def test_two_annotators_marked_the_same_where_their_regions_overlap(
    tmp_path: Path, second: tuple[int, int, int, int], is_same: bool
) -> None:
    for draw in (box, brush):
        marks = [annotation(draw("dent", (10, 10, 50, 50))), annotation(draw("dent", second), by=2)]
        labelled = read_labelled(write_export(tmp_path, [task(1, *marks)]))
        assert bool(labelled.pictures) == is_same
        assert is_same or labelled.left_out[1].kind == "conflict"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"type": "polygonlabels", "value": {"polygonlabels": ["dent"]}}, "type 'polygonlabels' is not read"),
        ({**box("dent", (1, 1, 5, 5)), "original_width": None}, "size of the picture"),
        ({**box("dent", (1, 1, 5, 5)), "image_rotation": 90}, "turned by 90 degrees"),
        ({**said("x"), "value": {"choices": []}}, "has no label"),
        ({**said("x"), "value": {"choices": ["a", "b"]}}, "several classes"),
        (brush("dent", (3, 3, 4, 4)), "covers no pixel"),
    ],
)
def test_an_answer_that_cannot_be_used_says_why(tmp_path: Path, result: dict[str, object], reason: str) -> None:
    labelled = read_labelled(write_export(tmp_path, [task(1, annotation(result))]))
    assert labelled.left_out[1].kind == "unusable"
    assert reason in labelled.left_out[1].reason


def test_regions_of_pictures_of_different_sizes_are_no_answer(tmp_path: Path) -> None:
    other = brush_result(BRUSH, "dent", np.ones((5, 7), bool), "n")
    entry = task(1, annotation(brush("scratch", (1, 1, 9, 9)), other))
    assert "different sizes: [(7, 5), (128, 96)]" in read_labelled(write_export(tmp_path, [entry])).left_out[1].reason


def test_a_box_that_is_turned_is_not_read(tmp_path: Path) -> None:
    turned = box("dent", (1, 1, 50, 50))
    turned["value"]["rotation"] = 12
    assert "turned by 12" in read_labelled(write_export(tmp_path, [task(1, annotation(turned))])).left_out[1].reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "is no JSON export"),
        ('{"images": []}', "is no JSON export"),
        ('[{"id": 1, "data": {"image": "a.png"}, "annotations": [7]}]', "is no JSON export"),
        ('[{"id": 1, "image": "a.png", "label": "x"}]', "not JSON-MIN"),
        ("[", "line 1, column 2 is no JSON"),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(ManifestError, match=reason):
        read_labelled(tmp_path / "export.json")


def test_pictures_that_are_not_there_are_named_and_not_fetched(tmp_path: Path) -> None:
    path = write_export(tmp_path, [task(1, annotation(said("good"))), task(2, annotation(said("good")))])
    (tmp_path / "pictures/2.png").unlink()
    with pytest.raises(ManifestError, match=r"1 picture.* task 2 \(/data/local-files/.*2.png\).*not fetched"):
        read_labelled(path)


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/3/0b5f-a.png",
        "s3://bucket/deep/0b5f-a.png",
        "https://host/0b5f-a.png?token=1",
        "images/0b5f-a.png",
    ],
)
def test_a_picture_is_found_beside_the_export_by_its_name(tmp_path: Path, address: str) -> None:
    entry = task(1, annotation(said("good")))
    entry["data"] = {"photo": address}
    save(tmp_path / "images" / "0b5f-a.png", texture(1))
    (tmp_path / "export.json").write_text(json.dumps([entry]))
    assert read_labelled(tmp_path / "export.json").pictures[0].file == tmp_path / "images/0b5f-a.png"


@pytest.mark.parametrize("d", ["../secret.png", "/etc/secret.png", "%2e%2e/secret.png"])
def test_an_address_does_not_lead_out_of_the_folder(tmp_path: Path, d: str) -> None:
    folder = tmp_path / "inner/labels"
    path = write_export(folder, [task(1, annotation(said("good")))])
    save(tmp_path / "inner/secret.png", texture(1))
    document = json.loads(path.read_text())
    document[0]["data"] = {"image": f"/data/local-files/?d={d}"}
    path.write_text(json.dumps(document))
    with pytest.raises(ManifestError, match="are not there"):
        read_labelled(path)


def test_a_new_export_or_picture_is_a_new_source_and_the_same_one_is_not(tmp_path: Path) -> None:
    path = write_export(tmp_path, [task(1, annotation(said("good")))])
    before = DataSource(source="label-studio", path=str(path)).refreshed()
    assert before.refreshed() == before
    write_export(tmp_path, [task(1, annotation(said("scratch")))])
    assert (changed := before.refreshed()) != before
    save(tmp_path / "pictures/1.png", texture(9))
    assert changed.refreshed() != changed


def test_pictures_of_an_export_that_lie_where_runs_write_are_refused(tmp_path: Path) -> None:
    entry = task(1, annotation(said("good")))
    entry["data"] = {"image": "/data/local-files/?d=data/pictures/images/1.png"}
    save(tmp_path / "data/pictures/images/1.png", texture(1))
    (tmp_path / "export.json").write_text(json.dumps([entry]))
    with pytest.raises(ManifestError, match="runs replace"):
        _loaded(tmp_path / "export.json", tmp_path / "data")
