"""What a cross-validation says of boxes: counted by hand over folds and seeds, also of merged objects alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dataset.boxes import boxes_file
from evaluation.boxes.document import BoxResults
from evaluation.document import EvaluationError
from evaluation.params import EvaluateParams
from evaluation.predicted_boxes import BoxTable, write_boxes
from evaluation.predictions import Predictions, PredictionsError
from runtime.model.contract import DetectionContract, read_contract
from tests.evaluation.boxed_project import add_boxes, add_folds
from tests.evaluation.project import Project, make_project
from training.sweeps.cross_validation_summary import write_summary

PARAMS = EvaluateParams(seed=0, confidence=0.95, bootstrap_samples=100)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Tiles with boxes, cross-validated with two folds and one seed; no test changes it."""
    project = add_boxes(make_project(tmp_path_factory.mktemp("folds"), ("Blowhole", "Crack", "Free")))
    add_folds(project)
    return project


@pytest.fixture
def root(tiles: Project, tmp_path: Path) -> Path:
    """The folds, to be changed."""
    shutil.copytree(tiles.root / "artifacts/cross_validation", tmp_path, dirs_exist_ok=True)
    return tmp_path


def _summary(root: Path, project: Project) -> tuple[list[dict[str, Any]], str]:
    text = write_summary(root, 2, PARAMS, "Free", project.manifest, "detection")
    assert (root / "summary.md").read_text(encoding="utf-8") == text
    return json.loads((root / "summary.json").read_text(encoding="utf-8"))["boxes"], text


def _read(document: dict[str, Any]) -> BoxResults:
    return BoxResults.model_validate(document["measured"] | {"worst": ()})


def _find_nothing(fold: Path) -> None:
    table, rows = BoxTable.read(fold / "boxes"), len(Predictions.read(fold / "predictions.csv").paths)
    write_boxes(fold / "boxes", [table.of(row).take(slice(0)) for row in range(rows)], table.contract)


def test_folds_and_seeds_are_pooled_as_counted_by_hand(tiles: Project, root: Path) -> None:
    shutil.copytree(root / "seed0", root / "seed1")
    for fold in range(2):
        _find_nothing(root / f"seed1/group{fold}")
    reached, text = _summary(root, tiles)
    assert [(one["protocol"], one["seed"], one["why_not"]) for one in reached] == [
        ("group", 0, ""), ("group", 1, ""), ("group", None, ""),
    ]  # fmt: skip
    first, second, both = map(_read, reached)
    num_there = first.any_object.num_objects
    cracks = first.results[2]
    num_cracks_found = round(cracks.recall.value * cracks.num_objects) if cracks.recall.value is not None else 0
    assert (second.any_object.num_right, second.mean.ap50.value) == (0, 0)
    assert both.any_object.num_objects == second.any_object.num_objects + num_there == 2 * num_there
    assert both.any_object.num_right == first.any_object.num_right
    assert both.any_object.recall.value == pytest.approx((first.any_object.recall.value or 0) / 2)
    assert both.num_groups == first.num_groups
    assert both.threshold is None
    assert 0 < num_cracks_found == cracks.num_right < cracks.num_objects
    # All cracks that are found come before the false alarm of the least sure candidates, so that precision is 1 up to
    # half of the recall, in steps of 1/100.
    exact = both.results[2].precisions
    share = cracks.num_right / (2 * cracks.num_objects)
    assert exact.ap50.value is not None
    assert exact.ap50.value >= (int(share * 100) + 1) / 101 - 1e-9
    (at_a_tenth, _) = both.any_found.recall_at
    assert (at_a_tenth.false_alarms, at_a_tenth.recall.low is not None) == (0.1, True)
    assert "curve" not in reached[0]["measured"]["found"][0]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| group | all, pooled |")]
    assert [row[2] for row in rows] == ["any", "Blowhole", "Crack", "mean of the objects"]
    assert rows[2][3].startswith(f"{exact.ap50.value:.3f} (")
    assert rows[0][5] == f"{2 * num_there} on {first.any_object.num_groups} objects"
    assert rows[0][6].startswith(f"{at_a_tenth.recall.value:.3f} (")


def test_merged_objects_are_measured_once(tiles: Project, root: Path) -> None:
    for boxes in sorted(root.glob("seed0/group*/boxes")):
        table = BoxTable.read(boxes)
        merged = table.contract.model_copy(update={"objects": ("defect",), "merged": True})
        rows = len(Predictions.read(boxes.parent / "predictions.csv").paths)
        found = [table.of(row)._replace(objects=0 * table.of(row).objects) for row in range(rows)]
        write_boxes(boxes, found, merged)
    ((reached,), text) = _summary(root, tiles)
    assert reached["measured"]["objects"] == ["defect"]
    assert len([line for line in text.splitlines() if line.startswith("| group | 0 | defect |")]) == 1
    assert "mean of the objects" not in text


def test_folds_of_other_objects_are_refused(tiles: Project, root: Path) -> None:
    path = root / "seed0/group1/boxes/contract.json"
    contract = read_contract(path)
    assert isinstance(contract, DetectionContract)
    path.write_text(contract.model_copy(update={"objects": ("Blowhole", "Crack", "Fray")}).to_json(), encoding="utf-8")
    with pytest.raises(EvaluationError, match="find other objects than each other"):
        _summary(root, tiles)
    (root / "seed0/group1/boxes/boxes.csv").unlink()
    with pytest.raises(PredictionsError, match=r"boxes\.csv"):
        _summary(root, tiles)


def test_what_cannot_be_measured_is_said(tiles: Project, root: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiles.data_dir, data, ignore=shutil.ignore_patterns("images"))
    boxes = boxes_file(data)
    boxes.write_text(boxes.read_text().replace(",0\n", ",1\n"))
    manifest = type(tiles.manifest)(tiles.manifest.table, data)
    text = write_summary(root, 2, PARAMS, "Free", manifest, "detection")
    assert "group, seed 0: Not measured: no test picture has a box around an object" in text
    assert "| object |" not in text
