"""What a cross-validation says of outlines: counted by hand over folds and seeds, also of merged regions alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.outlines.document import Outlines
from evaluation.params import EvaluateParams
from evaluation.predicted_maps import read_map, write_map
from evaluation.predictions import Predictions, PredictionsError
from runtime.model.contract import SegmentationContract, read_contract
from tests.evaluation.outlined_project import add_folds, add_outlines
from tests.evaluation.project import Project, make_project
from training.sweeps.cross_validation_summary import write_summary

PARAMS = EvaluateParams(seed=0, confidence=0.95, bootstrap_samples=100)
THERE_PX = 30 * 36 + 30 * 40
OVERLAP_PX = 25 * 36 + 5 * 24 + 25 * 40
FOUND_PX = 30 * 36 + 25 * 40  # without the alarms on normal tiles: six of nine pixels


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Tiles with outlines, cross-validated with two folds and one seed; no test changes it."""
    project = add_outlines(make_project(tmp_path_factory.mktemp("folds"), ("Blowhole", "Crack", "Free")))
    add_folds(project)
    return project


@pytest.fixture
def root(tiles: Project, tmp_path: Path) -> Path:
    """The folds, to be changed."""
    shutil.copytree(tiles.root / "artifacts/cross_validation", tmp_path, dirs_exist_ok=True)
    return tmp_path


def _summary(root: Path, project: Project, normal_class: str = "Free") -> tuple[list[dict[str, Any]], str]:
    text = write_summary(root, 2, PARAMS, normal_class, project.manifest, "segmentation")
    assert (root / "summary.md").read_text(encoding="utf-8") == text
    return json.loads((root / "summary.json").read_text(encoding="utf-8"))["outlines"], text


def _rewrite(fold: Path, factor: float, region: int | None = None) -> None:
    """Multiply the foreground of all maps of a fold, and have them answer one region alone if one is given."""
    for path in sorted((fold / "maps").glob("*.png")):
        regions, foreground = read_map(fold / "maps", int(path.stem))
        changed = np.full_like(regions, region) if region else regions
        write_map(fold / "maps", int(path.stem), changed, foreground * factor)


def test_folds_and_seeds_are_pooled_as_counted_by_hand(tiles: Project, root: Path) -> None:
    shutil.copytree(root / "seed0", root / "seed1")
    for fold in range(2):
        _rewrite(root / f"seed1/group{fold}", 0)  # the second seed's models find nothing
    reached, text = _summary(root, tiles)
    assert [(one["protocol"], one["seed"], one["why_not"]) for one in reached] == [
        ("group", 0, ""), ("group", 1, ""), ("group", None, ""),
    ]  # fmt: skip
    first, second, both = (Outlines.model_validate(one["measured"] | {"worst": ()}) for one in reached)
    assert first.any_region.dice.value == pytest.approx(2 * OVERLAP_PX / (THERE_PX + FOUND_PX + 54))
    assert (second.any_region.dice.value, second.any_object.num_found) == (0, 0)
    assert both.any_region.dice.value == pytest.approx(2 * OVERLAP_PX / (2 * THERE_PX + FOUND_PX + 54))
    assert (both.num_images, both.num_groups, both.threshold) == (180, 18, None)
    assert both.overlaps[2].iou.value == pytest.approx(25 * 40 / (2 * 30 * 40))
    assert both.overlaps[2].picture_dice.value == pytest.approx(25 / 60)
    (at_a_tenth, _) = both.any_object.recall_at
    assert at_a_tenth.false_alarms == 0.1
    assert at_a_tenth.recall.value == pytest.approx(55 / 120)
    assert at_a_tenth.recall.low is not None
    assert "curve" not in reached[0]["measured"]["objects"][0]
    assert "defect-or-not F1" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| group | all, pooled |")]
    assert [row[2] for row in rows] == ["any", "Blowhole", "Crack"]
    assert rows[2][4].startswith("0.417 (")
    assert rows[0][7] == "120 on 12 objects"
    assert rows[0][8].startswith("0.458 (")


def test_each_fold_outlines_from_its_own_threshold(tiles: Project, root: Path) -> None:
    path = root / "seed0/group1/maps/contract.json"
    contract = read_contract(path)
    path.write_text(contract.model_copy(update={"threshold": 0.85}).to_json(), encoding="utf-8")
    ((reached,), _) = _summary(root, tiles)
    cracks = Outlines.model_validate(reached["measured"] | {"worst": ()}).objects[2]
    predictions = Predictions.read(root / "seed0/group1/predictions.csv")
    lost = [
        group for label, group in zip(predictions.labels, predictions.groups, strict=True)
        if predictions.classes[label] == "Crack" and not group.endswith("-5")
    ]  # fmt: skip
    assert 0 < len(lost) < 25
    assert cracks.num_found == 25 - len(lost)  # those of a foreground of 0.8


def test_merged_regions_of_defects_alone_are_measured_without_a_normal_class(tmp_path: Path) -> None:
    defects = add_outlines(make_project(tmp_path, ("Blowhole", "Crack")))
    folds = add_folds(defects).parent.parent
    for fold in sorted(folds.glob("seed0/group*/maps")):
        contract = read_contract(fold / "contract.json")
        assert isinstance(contract, SegmentationContract)
        merged = contract.model_copy(update={"regions": ("defect",), "merged": True})
        (fold / "contract.json").write_text(merged.to_json(), encoding="utf-8")
        _rewrite(fold.parent, 1, region=1)
    ((reached,), text) = _summary(folds, defects, normal_class="")
    assert reached["measured"]["regions"] == ["defect"]
    assert reached["measured"]["overlaps"][1]["dice"]["value"] == pytest.approx(2 * OVERLAP_PX / (THERE_PX + FOUND_PX))
    (row,) = [line for line in text.splitlines() if line.startswith("| group | 0 | defect |")]
    assert "| 60 on 12 objects | 0.917 (" in row
    assert "The data state no normal class" in text


def test_what_cannot_be_measured_is_said(tiles: Project, root: Path) -> None:
    unmarked = tiles.manifest
    unmarked.table["mask"] = ""
    text = write_summary(root, 2, PARAMS, "Free", unmarked, "segmentation")
    assert "group, seed 0: Not measured: no test picture has a mask that marks a region" in text
    assert "| region |" not in text
    (root / "seed0/group1/maps/000003.png").unlink()
    with pytest.raises(PredictionsError, match=r"group1.maps holds 44 predicted maps, but the predictions 45 rows"):
        write_summary(root, 2, PARAMS, "Free", tiles.manifest, "segmentation")
