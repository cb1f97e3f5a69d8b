"""The stage `evaluate` with predicted boxes: files in, figures counted by hand, report and card out."""

import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from evaluation import card, evaluate
from evaluation.boxes.document import BoxResults
from evaluation.boxes.measure import NOTHING_BOXED
from evaluation.boxes.object_table import ObjectTable
from evaluation.evaluation import Evaluation
from evaluation.outlines.worst import FALSE, MISSED, RIGHT
from evaluation.predictions import Predictions
from tests.evaluation.boxed_project import (
    add_boxes,
    add_folds,
    box_arguments,
    boxes_dir,
    true_box,
    write_contract,
    write_true_boxes,
)
from tests.evaluation.project import Project, make_project


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose boxes were measured; no test changes it."""
    project = add_boxes(make_project(tmp_path_factory.mktemp("boxed"), ("Blowhole", "Crack", "Free")))
    assert evaluate.main(box_arguments(project)) == 0
    return project


@pytest.fixture(scope="module")
def boxes(evaluated: Project) -> BoxResults:
    found = Evaluation.read(evaluated.evaluation_dir / "evaluation.json").boxes
    assert found is not None
    return found


@pytest.fixture
def boxed(evaluated: Project, tmp_path: Path) -> Project:
    """A copy to be changed."""
    shutil.copytree(evaluated.root, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path, evaluated.classes)


def run(project: Project) -> Evaluation:
    assert evaluate.main(box_arguments(project)) == 0
    return Evaluation.read(project.evaluation_dir / "evaluation.json")


def test_average_precisions_are_those_counted_by_hand(boxes: BoxResults) -> None:
    assert (boxes.num_images, boxes.num_groups, boxes.num_marked, boxes.num_unknown) == (30, 6, 20, 0)
    assert (boxes.objects, boxes.threshold, boxes.max_boxes, boxes.num_ignored) == (("Blowhole", "Crack"), 0.5, 10, 0)
    whole, blowhole, crack = boxes.results
    # All ten blowholes at 0.9, up to IoU 5/7 (five of the ten levels); from 0.75 on every second one, in turns of five.
    assert blowhole.precisions.ap50.value == 1
    assert blowhole.precisions.ap75.value == pytest.approx(51 / 101)
    assert blowhole.precisions.ap.value == pytest.approx((5 + 5 * 51 / 101) / 10)
    # Five cracks at 0.8; at 0.2 the other five among 25 that are nowhere.
    assert crack.precisions.ap50.value == crack.precisions.ap.value
    assert 51 / 101 < (crack.precisions.ap50.value or 0) < 51 / 101 + 50 / 101 * 10 / 20
    mean = ((blowhole.precisions.ap.value or 0) + (crack.precisions.ap.value or 0)) / 2
    assert boxes.mean.ap.value == pytest.approx(mean)
    assert crack.precisions.ap50.low is not None
    assert (whole.name, whole.num_objects, whole.num_images, whole.num_groups) == ("", 20, 20, 4)


def test_average_recalls_are_those_counted_by_hand(boxes: BoxResults) -> None:
    _, blowhole, crack = boxes.results
    assert blowhole.precisions.ar1.value == blowhole.precisions.ar100.value == pytest.approx(0.75)
    # The best box of a crack's picture is on it, sure or not.
    assert crack.precisions.ar1.value == crack.precisions.ar10.value == 1


def test_figures_at_the_threshold_are_those_counted_by_hand(boxes: BoxResults) -> None:
    whole, blowhole, crack = boxes.results
    assert [(one.num_right, one.num_boxes) for one in boxes.results] == [(15, 17), (10, 12), (5, 5)]
    assert [whole.precision.value, whole.recall.value] == pytest.approx([15 / 17, 0.75])
    assert whole.f1.value == pytest.approx(30 / 37)
    assert [blowhole.precision.value, blowhole.recall.value] == pytest.approx([10 / 12, 1])
    assert (crack.precision.value, crack.recall.value) == (1, 0.5)


def test_objects_found_at_false_alarms_are_those_counted_by_hand(boxes: BoxResults) -> None:
    found = boxes.any_found
    assert (found.num_objects, found.num_found, found.num_parts, found.num_false) == (20, 15, 17, 2)
    assert found.false_alarms.value == pytest.approx(2 / 30)
    tenth, one = found.recall_at
    # Two false alarms in 30 pictures; the 25 at 0.2 would be too many. One a picture allows all candidates.
    assert (tenth.recall.value, tenth.score, tenth.is_all) == (0.75, 0.7, False)
    assert (one.recall.value, one.score, one.is_all) == (1, 0.2, True)
    assert [point.score for point in found.curve] == [0.9, 0.8, 0.7, 0.2]
    assert [part.recall.value for part in found.by_size] == [1, 0.5]
    assert not boxes.found[1].curve


def test_sizes_are_cocos_and_thirds_of_the_objects(boxes: BoxResults) -> None:
    """All are small to COCO; their areas are 36 and 40."""
    small, low, high = boxes.sizes
    assert (small.rule, small.low_px, small.high_px, small.num_objects) == ("coco", 0, 1024, 20)
    assert small.ap == boxes.mean.ap
    assert [(s.rule, s.low_px, s.high_px, s.num_objects) for s in (low, high)] == [
        ("thirds", 0, 40, 10), ("thirds", 40, None, 10),
    ]  # fmt: skip
    assert low.ap.value == boxes.results[1].precisions.ap.value
    # Candidates of another area that are on nothing do not count: the 25 of 6 square pixels are none of a crack's size.
    assert high.ap.value == 1


def test_the_table_of_objects_holds_every_test_picture(evaluated: Project) -> None:
    table = ObjectTable.read(evaluated.evaluation_dir / "objects.csv")
    test = Predictions.read(evaluated.predictions_path).select("test")
    assert (table.paths.tolist(), table.groups.tolist()) == (test.paths.tolist(), test.groups.tolist())
    assert sum(len(one.truth.objects) for one in table.pictures) == 20
    assert sum(len(one.found.scores) for one in table.pictures) == 47
    assert {one.threshold for one in table.pictures} == {0.5}


def test_metrics_hold_average_precision_beside_the_label(evaluated: Project, boxes: BoxResults) -> None:
    metrics = json.loads((evaluated.evaluation_dir / "metrics.json").read_text())["test"]
    assert metrics["boxes"]["ap"] == boxes.mean.ap.value
    assert metrics["boxes"]["f1"] == pytest.approx(30 / 37)
    assert metrics["boxes"]["ap50_of"]["Blowhole"] == 1
    assert metrics["macro_f1"] is not None


def test_the_worst_are_drawn_one_of_each_tile_first(evaluated: Project, boxes: BoxResults) -> None:
    misses = [item for item in boxes.worst if item.kind == "miss"]
    alarms = [item for item in boxes.worst if item.kind == "false_alarm"]
    assert [(item.label, item.f1, item.num_right) for item in misses] == [("Crack", 0, 0)] * 5
    assert (len(alarms), alarms[0].num_boxes, alarms[0].num_objects) == (2, 1, 0)
    drawn = {path.name for path in (evaluated.evaluation_dir / "worst").iterdir()}
    assert drawn == {Path(item.picture).name for item in boxes.worst}
    with Image.open(evaluated.evaluation_dir / misses[0].picture) as image:
        pixels = np.asarray(image).astype(int)
    assert pixels.shape == (24, 32 + 4 + 32, 3)
    right, plain = pixels[:, 36:], pixels[:, :32]
    assert (right[15:17, 6:26] == MISSED).all()
    right[15:17, 6:26] = plain[15:17, 6:26]
    np.testing.assert_array_equal(right, plain)
    with Image.open(evaluated.evaluation_dir / alarms[0].picture) as image:
        assert (np.asarray(image)[18:21, 36 + 2 : 36 + 5] == FALSE).all()


def test_a_right_box_lies_over_the_object_that_it_finds(boxed: Project) -> None:
    """A second object in the pictures makes them worth showing."""
    test = boxed.manifest.select("test").table
    write_true_boxes(
        boxed, {row["path"]: [true_box("Blowhole"), true_box("Crack")] for _, row in test.iterrows()}
    )  # fmt: skip
    boxes = run(boxed).boxes
    assert boxes is not None
    beside = next(item for item in boxes.worst if item.label == "Blowhole" and item.group.endswith("-5"))
    with Image.open(boxed.evaluation_dir / beside.picture) as image:
        row = np.asarray(image)[7, 36:]
    assert [tuple(row[column]) for column in (4, 5, 6, 9, 10)] == [MISSED, RIGHT, RIGHT, RIGHT, RIGHT]


def test_the_report_says_and_shows_it(evaluated: Project, boxes: BoxResults) -> None:
    html = (evaluated.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert "Of 20 objects 15 are found by a box." in html
    for title in ("Boxes", "Objects found", "Worst boxes"):
        assert f">{title}</h2>" in html
    assert "COCO&#39;s sizes: 0 to 1024" in html
    assert "a third of the objects each: 0 to below 40" in html
    assert "5 of 5 boxes right" in html
    pngs = re.findall(r'data:image/png;base64,([^"]+)', html)
    sizes = [Image.open(io.BytesIO(base64.b64decode(png))).size for png in pngs]
    assert sizes.count((68, 24)) == len(boxes.worst)


def test_running_twice_writes_the_same_bytes_and_keeps_what_is_a_persons(boxed: Project) -> None:
    files = sorted(path for path in boxed.evaluation_dir.rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files]
    (boxed.evaluation_dir / "worst/of mine.png").write_bytes(b"kept")
    (boxed.evaluation_dir / "worst/miss_99.png").write_bytes(b"of an earlier run")
    run(boxed)
    assert [path.read_bytes() for path in files] == before
    assert not (boxed.evaluation_dir / "worst/miss_99.png").exists()
    assert evaluate.main(boxed.evaluate_arguments) == 0
    assert not (boxed.evaluation_dir / "objects.csv").exists()
    assert [path.name for path in (boxed.evaluation_dir / "worst").iterdir()] == ["of mine.png"]


def test_figures_are_given_by_attribute(boxed: Project) -> None:
    params = yaml.safe_load((boxed.root / "params.yaml").read_text())
    params["evaluate"]["min_slice_images"] = 6
    (boxed.root / "params.yaml").write_text(yaml.safe_dump(params))
    boxes = run(boxed).boxes
    assert boxes is not None
    first, *others = boxes.slices
    assert (first.attribute, first.value, first.num_images, first.num_objects) == ("exposure", "1", 6, 4)
    assert first.f1.value == pytest.approx(2 * 3 / (5 + 4))
    assert [part.f1.value for part in others] == [pytest.approx(2 * 3 / (3 + 4))] * 4


def test_ignored_objects_are_neither_missed_nor_found_wrongly(boxed: Project) -> None:
    test = boxed.manifest.select("test").table
    with_one = [row for _, row in test.iterrows() if row["label"] != "Free"]
    is_crack = {row["path"]: row["label"] == "Crack" for row in with_one}
    write_true_boxes(
        boxed, {row["path"]: [true_box(row["label"], ignored=is_crack[row["path"]])] for row in with_one}
    )  # fmt: skip
    boxes = run(boxed).boxes
    assert boxes is not None
    assert (boxes.num_marked, boxes.num_ignored, boxes.num_unknown) == (10, 10, 0)
    _, blowhole, crack = boxes.results
    assert (crack.num_objects, crack.num_boxes, crack.recall.value, crack.precisions.ap.value) == (0, 0, None, None)
    assert boxes.mean.ap == blowhole.precisions.ap
    assert "10 boxes of the data are ignored" in (boxed.evaluation_dir / "report.html").read_text()


def test_an_object_that_nobody_boxed_is_left_out(boxed: Project) -> None:
    test = boxed.manifest.select("test").table
    cracks = [row["path"] for _, row in test.iterrows() if row["label"] == "Crack"]
    boxed_pictures = [row for _, row in test.iterrows() if row["label"] != "Free" and row["path"] != cracks[0]]
    write_true_boxes(boxed, {row["path"]: [true_box(row["label"])] for row in boxed_pictures})
    boxes = run(boxed).boxes
    assert boxes is not None
    assert (boxes.num_images, boxes.num_unknown, boxes.results[2].num_objects) == (29, 1, 9)
    assert "1 further test image was left out" in (boxed.evaluation_dir / "report.html").read_text()
    table = ObjectTable.read(boxed.evaluation_dir / "objects.csv")
    assert [path for path, one in zip(table.paths, table.pictures, strict=True) if one.is_unknown] == [cracks[0]]


def test_a_test_split_without_a_box_is_said_instead_of_figures(boxed: Project) -> None:
    write_true_boxes(boxed, {})
    evaluation = run(boxed)
    assert (evaluation.boxes, evaluation.no_boxes) == (None, NOTHING_BOXED)
    assert card.main(boxed.card_arguments) == 0
    assert NOTHING_BOXED in boxed.card_path.read_text(encoding="utf-8")


def test_boxes_of_other_predictions_and_both_kinds_are_refused(
    boxed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(boxed.evaluation_dir)
    file = boxes_dir(boxed) / "boxes.csv"
    file.write_text(file.read_text() + "999,Crack,0.5,1,1,2,2\n")
    assert evaluate.main(box_arguments(boxed)) == 2
    assert "holds boxes of row 999" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        evaluate.main([*box_arguments(boxed), "--maps", "maps"])
    assert "a model has one of both" in capsys.readouterr().err
    assert not boxed.evaluation_dir.exists()


def test_the_card_says_what_is_found_how_and_how_well(evaluated: Project, boxes: BoxResults) -> None:
    assert card.main(evaluated.card_arguments) == 0
    text = evaluated.card_path.read_text(encoding="utf-8")
    assert "the model finds what it shows of Blowhole, Crack" in text
    assert "its score reaches the contract's threshold, 0.5" in text
    assert re.search(r"^\| Blowhole \(10 objects, 2 groups\) \| 0\.752 \([\d.–]+\) \| 1\.000 ", text, re.M)
    assert re.search(r"^\| Any object \(20 objects of 4 groups\) \| 0\.750 \(", text, re.M)
    assert "Where in a picture a thing lies" not in text
    assert "## Worst boxes" not in text
    data: Any = ModelCard(text).data
    assert data.pipeline_tag == "object-detection"
    results = {(result.metric_type, result.metric_name): result.metric_value for result in data.eval_results}
    assert results["ap", "AP, IoU 0.50 to 0.95, mean over objects (test, split by group)"] == boxes.mean.ap.value
    report = (evaluated.root / "artifacts/report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") == len(boxes.worst)


def test_a_card_of_other_boxes_than_the_models_is_refused(boxed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    write_contract(boxed, threshold=0.7)
    assert card.main(boxed.card_arguments) == 2
    assert "measured by another contract than the model's (threshold: 0.5, 0.7)" in capsys.readouterr().err
    write_contract(boxed)
    (boxed.evaluation_dir / "worst/miss_00.png").unlink()
    assert card.main(boxed.card_arguments) == 2
    assert "cannot show the drawing" in capsys.readouterr().err
    assert evaluate.main(boxed.evaluate_arguments) == 0
    assert card.main(boxed.card_arguments) == 2
    assert "run python -m evaluation.evaluate with --boxes" in capsys.readouterr().err


def test_boxes_over_all_folds_are_those_of_every_picture(boxed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    pooled_path = add_folds(boxed)
    arguments = [*box_arguments(boxed), "--out-of-fold", str(pooled_path)]
    assert evaluate.main(arguments) == 0
    pooled = Evaluation.read(boxed.evaluation_dir / "out_of_fold.json").boxes
    assert pooled is not None
    assert (pooled.num_images, pooled.num_marked, pooled.threshold, pooled.worst) == (90, 60, None, ())
    # Six tiles a class, of which the crack of the last is missed; six pictures raise a false alarm.
    assert (pooled.any_object.num_right, pooled.any_object.num_boxes) == (55, 61)
    report = (boxed.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert "Objects found at 0.1 false alarms an image, any object" in report
    assert "AP 0.50 of Crack" in report
    (pooled_path.parent / "group1/predictions.csv").unlink()
    assert evaluate.main(arguments) == 2
    message = capsys.readouterr().err
    assert f"no fold beside {pooled_path} holds boxes of" in message
    assert "run python -m training.cross_validate --task detection" in message
