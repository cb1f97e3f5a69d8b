"""What was labelled comes back as folders, COCO's document and tables; what says nothing is named, and kept apart."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotation.agreement import agreements
from annotation.labels_pull import pull
from dataset.annotations import read_mask
from dataset.data_source import DataSource
from dataset.label_studio.export_file import read_export
from dataset.load import load
from dataset.manifest import ManifestError
from dataset.params import DataParams
from dataset.source import decide_source
from runtime.model.contract import Task
from tests.dataset.label_studio.exports import annotation, box, brush, drawn, nothing, said, task, write_export

PARAMS = DataParams(near_duplicate_correlation=0.9)


def _pulled(home: Path, kind: Task, *tasks: dict[str, Any]) -> Path:
    content = write_export(home, tasks).read_bytes()
    pull(content, home, kind)
    assert (home / kind / "label-studio.json").read_bytes() == content
    return home / kind


def _rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines()))


def _loaded(source: DataSource, data: Path) -> dict[str, str]:
    table = load(source, data, PARAMS).table
    return dict(zip(table["path"], table["label"], strict=True))


def test_classes_come_back_as_folders_and_as_the_export_and_both_load_alike(tmp_path: Path) -> None:
    tasks = [task(number, annotation(said("scratch" if number % 2 else "good"))) for number in range(4)]
    folder = _pulled(tmp_path / "labels", "classification", *tasks, task(9))
    assert _rows(folder / "manifest.csv")[:3] == [
        ["path", "label", "task"], ["line 1/tile0.png", "good", "0"], ["line 1/tile1.png", "scratch", "1"],
    ]  # fmt: skip
    assert _rows(folder / "left_out.csv") == [
        ["task", "kind", "reason"], ["9", "unlabelled", "nobody has labelled it"],
    ]  # fmt: skip
    by_folder = _loaded(decide_source(str(folder / "folder"), "", None, tmp_path), tmp_path / "one")
    by_export = _loaded(decide_source(str(folder / "label-studio.json"), "", None, tmp_path), tmp_path / "two")
    assert {path.rpartition("/")[2]: label for path, label in by_folder.items()} == {
        path.rpartition("/")[2]: label for path, label in by_export.items()
    }


def test_boxes_and_brushes_come_back_as_coco_that_loads_to_the_same_masks(tmp_path: Path) -> None:
    brushes = [
        task(1, annotation(brush("scratch", (5, 6, 40, 30)), brush("dent", (60, 50, 70, 60), "n"))),
        task(2, annotation(nothing())),
    ]
    folder = _pulled(tmp_path / "labels", "segmentation", *brushes) / "folder"
    assert _loaded(decide_source(str(folder), "", None, tmp_path), tmp_path / "data") == {
        "pictures/images/line 1/tile1.png": "scratch", "pictures/images/line 1/tile2.png": "good",
    }  # fmt: skip
    expected = np.where(drawn((5, 6, 40, 30)), 2, np.where(drawn((60, 50, 70, 60)), 1, 0))
    np.testing.assert_array_equal(read_mask(tmp_path / "data/pictures/masks/line 1/tile1.png.png"), expected)
    boxes = [task(1, annotation(box("dent", (1.5, 2, 30.25, 40)))), task(2, annotation(nothing()))]
    folder = _pulled(tmp_path / "labels", "detection", *boxes) / "folder"
    document = json.loads((folder / "annotations.json").read_text())
    assert [one["bbox"] for one in document["annotations"]] == [[1.5, 2.0, 28.75, 38.0]]
    assert [one["file_name"] for one in document["images"]] == ["line 1/tile1.png", "line 1/tile2.png"]


def test_two_annotators_are_compared_and_their_disagreements_are_shown(tmp_path: Path) -> None:
    labels = ["good", "good", "scratch", "scratch"], ["good", "scratch", "scratch", "scratch"]
    tasks = [
        task(number, annotation(said(first)), annotation(said(second), by=2))
        for number, (first, second) in enumerate(zip(*labels, strict=True))
    ]
    folder = _pulled(tmp_path / "labels", "classification", *tasks)
    # By hand: 3 of 4 agree; by chance 2/4 x 1/4 + 2/4 x 3/4 = 0.5 do; kappa = (0.75 - 0.5) / (1 - 0.5).
    assert json.loads((folder / "agreement.json").read_text()) == [
        {"annotators": ["1", "2"], "num_tasks": 4, "kappa": 0.5, "same": 0.75, "mean_iou": None}
    ]
    page = (folder / "disagreements.html").read_text()
    assert "Task 1: line 1/tile1.png" in page
    assert "Task 2:" not in page
    assert page.count("data:image/jpeg;base64,") == 2
    assert "http" not in page


def test_regions_are_compared_by_iou_with_none_for_what_the_other_did_not_mark(tmp_path: Path) -> None:
    first = annotation(box("dent", (0, 0, 10, 10)), box("dent", (50, 50, 60, 60), "x"))
    second = annotation(box("dent", (0, 0, 10, 5)), by=2)
    tasks = read_export(write_export(tmp_path, [task(1, first, second)]))
    [found] = agreements(tasks)
    assert found.mean_iou == pytest.approx((0.5 + 0.0) / 2)
    assert found.kappa is None


def test_a_second_pull_replaces_the_first_and_keeps_what_a_person_put_there(tmp_path: Path) -> None:
    home = tmp_path / "labels"
    folder = _pulled(home, "classification", task(1, annotation(said("good"))), task(2, annotation(said("scratch"))))
    _pulled(home, "classification", task(1, annotation(said("scratch"))))
    assert [path.name for path in sorted((folder / "folder").rglob("*.png"))] == ["tile1.png"]
    (folder / "mine.txt").write_text("notes")
    with pytest.raises(ManifestError, match=r"mine\.txt"):
        _pulled(home, "classification", task(1, annotation(said("good"))))
    assert (folder / "folder/scratch/line 1/tile1.png").is_file()


def test_a_class_that_no_folder_can_be_called_names_the_way_round(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="take the export itself"):
        _pulled(tmp_path / "labels", "classification", task(1, annotation(said("a/b"))))


def test_two_pictures_of_one_name_are_refused_and_neither_lies_over_the_other(tmp_path: Path) -> None:
    tasks = [task(number, annotation(said("good"))) for number in (1, 2)]
    tasks[1]["data"]["path"] = tasks[0]["data"]["path"]
    with pytest.raises(ManifestError, match=r"tasks 1 and 2 of .*different pictures called line 1/tile1\.png"):
        _pulled(tmp_path / "labels", "classification", *tasks)


def test_a_picture_that_is_not_there_is_looked_for_where_the_export_will_lie(tmp_path: Path) -> None:
    home = tmp_path / "labels"
    content = write_export(home, [task(1, annotation(said("good")))]).read_bytes()
    (home / "pictures/1.png").unlink()
    with pytest.raises(ManifestError, match=r"labels/classification/label-studio\.json are not there"):
        pull(content, home, "classification")


def test_a_project_without_pictures_is_no_damaged_export(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"has no picture yet: make labels PICTURES=folder"):
        pull(b"[]", tmp_path, "classification")
    assert not any(tmp_path.iterdir())
