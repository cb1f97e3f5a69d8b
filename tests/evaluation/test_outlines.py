"""The stage `evaluate` with predicted maps: files in, figures counted by hand, report and card out."""

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from dataset.manifest import Manifest
from evaluation import card, evaluate
from evaluation.evaluation import Evaluation
from evaluation.outlines.document import Outlines
from evaluation.outlines.measure import NOTHING_MARKED
from evaluation.outlines.region_table import RegionTable
from evaluation.outlines.worst import FALSE, MISSED, RIGHT
from evaluation.predicted_maps import map_path, write_map
from evaluation.predictions import Predictions
from tests.evaluation.outlined_project import add_folds, add_outlines, maps_dir, outline_arguments, write_contracts
from tests.evaluation.project import Project, make_project

ALL_PX = 24 * 32


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose outlines were measured; no test changes it."""
    project = add_outlines(make_project(tmp_path_factory.mktemp("outlined"), ("Blowhole", "Crack", "Free")))
    assert evaluate.main(outline_arguments(project)) == 0
    return project


@pytest.fixture(scope="module")
def outlines(evaluated: Project) -> Outlines:
    found = Evaluation.read(evaluated.evaluation_dir / "evaluation.json").outlines
    assert found is not None
    return found


@pytest.fixture
def outlined(evaluated: Project, tmp_path: Path) -> Project:
    """A copy to be changed."""
    shutil.copytree(evaluated.root, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path, evaluated.classes)


def run(project: Project) -> Evaluation:
    assert evaluate.main(outline_arguments(project)) == 0
    return Evaluation.read(project.evaluation_dir / "evaluation.json")


def change_masks(project: Project, keep: Callable[[Any], bool]) -> None:
    """Leave only the masks of rows that `keep` accepts."""
    table = project.manifest.table
    table["mask"] = [row["mask"] if keep(row) else "" for _, row in table.iterrows()]
    Manifest(table, project.data_dir).write(project.data_dir / "manifest.csv")
    project.inspect()
    write_contracts(project)


def test_overlaps_are_those_counted_by_hand(outlines: Outlines) -> None:
    assert (outlines.num_images, outlines.num_groups, outlines.num_marked, outlines.num_unknown) == (30, 6, 20, 0)
    assert (outlines.regions, outlines.threshold, outlines.min_region_px) == (("Blowhole", "Crack"), 0.6, 2)
    whole, blowhole, crack = outlines.overlaps
    # Five exposures of two tiles; the square beside the true one shares 4 of 6 columns; two alarms of 9 pixels.
    assert (blowhole.name, blowhole.there_px, blowhole.found_px, blowhole.num_images) == ("Blowhole", 360, 378, 10)
    assert (crack.there_px, crack.found_px) == (400, 200)
    assert (whole.name, whole.there_px, whole.found_px, whole.num_groups) == ("", 760, 578, 4)
    assert blowhole.dice.value == pytest.approx(2 * 300 / (360 + 378))
    assert blowhole.iou.value == pytest.approx(300 / (360 + 378 - 300))
    assert blowhole.picture_dice.value == pytest.approx((1 + 48 / 72) / 2)
    assert crack.iou.value == pytest.approx(0.5)
    assert whole.dice.value == pytest.approx(2 * 500 / (760 + 578))
    assert outlines.mean_iou.value == pytest.approx((300 / 438 + 1 / 2) / 2)
    assert crack.dice.low is not None


def test_boundaries_are_those_counted_by_hand(outlines: Outlines) -> None:
    assert outlines.tolerance_px == pytest.approx(0.0075 * 40)
    # A square's outline has 20 pixels, of which the one beside it shares 8; that of an alarm has 8.
    precision, recall = (100 + 40) / (100 + 100 + 16), (100 + 40) / 200
    assert outlines.overlaps[1].boundary_f.value == pytest.approx(2 * precision * recall / (precision + recall))
    assert outlines.overlaps[2].picture_boundary_f.value == pytest.approx(0.5)


def test_defects_are_those_counted_by_hand(outlines: Outlines) -> None:
    whole, blowhole, crack = outlines.objects
    assert (whole.num_objects, whole.num_found, whole.num_parts, whole.num_false) == (20, 15, 17, 2)
    assert whole.false_alarms.value == pytest.approx(2 / 30)
    assert [(at.recall.value, at.is_all) for at in whole.recall_at] == [(0.75, True), (0.75, True)]
    assert [(s.low_px, s.high_px, s.num_objects, s.recall.value) for s in whole.by_size] == [
        (36, 40, 10, 1.0), (40, None, 10, 0.5),
    ]  # fmt: skip
    assert [point.score for point in whole.curve] == pytest.approx([0.9, 0.8, 0.7], abs=0.002)
    assert (blowhole.recall.value, crack.recall.value, blowhole.num_false, crack.num_false) == (1, 0.5, 2, 0)


def test_calibration_is_that_of_all_pixels(outlines: Outlines) -> None:
    calibration = outlines.calibration
    assert calibration.num_px == 30 * ALL_PX
    assert sum(part.num_px for part in calibration.bins) == calibration.num_px
    surest = calibration.bins[-1]
    assert (surest.low, surest.num_px) == (14 / 15, 30)  # the speck, which is on no defect
    assert surest.true == 0
    ninth = next(part for part in calibration.bins if part.low == 13 / 15)
    assert ninth.num_px == 360
    assert ninth.true == pytest.approx(300 / 360)
    gaps = [part.num_px * abs(part.stated - part.true) for part in calibration.bins]
    assert calibration.expected_error.value == pytest.approx(sum(gaps) / calibration.num_px)
    assert calibration.doubtful_error.value == pytest.approx(
        sum(gaps[1:-1]) / sum(p.num_px for p in calibration.bins[1:-1])
    )


def test_the_table_of_regions_holds_every_test_picture(evaluated: Project) -> None:
    table = RegionTable.read(evaluated.evaluation_dir / "regions.csv")
    test = Predictions.read(evaluated.predictions_path).select("test")
    assert table.paths.tolist() == test.paths.tolist()
    assert table.groups.tolist() == test.groups.tolist()
    assert table.known_px.tolist() == [ALL_PX] * 30
    beside = table.pixels[[group.endswith("-5") for group in table.groups]]
    assert sorted(map(tuple, beside[:, 1].tolist()))[-5:] == [(24, 36, 36)] * 5


def test_metrics_hold_dice_beside_the_label(evaluated: Project) -> None:
    metrics = json.loads((evaluated.evaluation_dir / "metrics.json").read_text())["test"]
    assert metrics["outlines"]["dice"] == pytest.approx(1000 / 1338)
    assert metrics["outlines"]["dice_of"]["Crack"] == pytest.approx(2 / 3)
    assert metrics["macro_f1"] is not None


def test_the_worst_are_drawn_one_of_each_tile_first(evaluated: Project, outlines: Outlines) -> None:
    misses = [item for item in outlines.worst if item.kind == "miss"]
    alarms = [item for item in outlines.worst if item.kind == "false_alarm"]
    assert [(item.label, item.dice) for item in misses[:2]] == [("Crack", 0), ("Blowhole", pytest.approx(2 / 3))]
    assert (len(misses), len(alarms), alarms[0].found_px) == (10, 2, 9)
    drawn = {path.name for path in (evaluated.evaluation_dir / "worst").iterdir()}
    assert drawn == {Path(item.picture).name for item in outlines.worst}
    with Image.open(evaluated.evaluation_dir / misses[1].picture) as image:
        pixels = np.asarray(image).astype(int)
    assert pixels.shape == (24, 32 + 4 + 32, 3)
    right = pixels[:, 36:]
    plain = pixels[:, :32]
    assert [tuple(right[6, column]) for column in (4, 5, 6, 9, 10, 11)] == [MISSED] * 2 + [RIGHT] * 2 + [FALSE] * 2
    np.testing.assert_allclose(right[6, 8], 0.45 * plain[6, 8] + 0.55 * np.array(RIGHT), atol=0.5)  # inside
    np.testing.assert_array_equal(right[12:], plain[12:])


def test_the_report_says_and_shows_it(evaluated: Project, outlines: Outlines) -> None:
    html = (evaluated.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert "Of 20 marked defects 15 are found by an outline." in html
    for title in ("Outlines", "Defects found", "Are the pixels&#39; probabilities calibrated?", "Worst outlines"):
        assert f">{title}</h2>" in html
    pngs = re.findall(r'data:image/png;base64,([^"]+)', html)
    sizes = [Image.open(io.BytesIO(base64.b64decode(png))).size for png in pngs]
    assert sizes.count((68, 24)) == len(outlines.worst)
    assert "Not compared with a split by image" in html


def test_running_twice_writes_the_same_bytes(outlined: Project) -> None:
    files = sorted(path for path in outlined.evaluation_dir.rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files]
    (outlined.evaluation_dir / "worst" / "of mine.png").write_bytes(b"kept")
    (outlined.evaluation_dir / "worst" / "miss_99.png").write_bytes(b"of an earlier run")
    run(outlined)
    assert [path.read_bytes() for path in files] == before
    assert (outlined.evaluation_dir / "worst" / "of mine.png").read_bytes() == b"kept"
    assert not (outlined.evaluation_dir / "worst" / "miss_99.png").exists()
    assert evaluate.main(outlined.evaluate_arguments) == 0
    assert not (outlined.evaluation_dir / "regions.csv").exists()
    assert [path.name for path in (outlined.evaluation_dir / "worst").iterdir()] == ["of mine.png"]


def test_dice_is_given_by_attribute(outlined: Project) -> None:
    params = yaml.safe_load((outlined.root / "params.yaml").read_text())
    params["evaluate"]["min_slice_images"] = 6
    (outlined.root / "params.yaml").write_text(yaml.safe_dump(params))
    outlines = run(outlined).outlines
    assert outlines is not None
    first, *others = outlines.slices
    assert (first.attribute, first.value, first.num_images) == ("exposure", "1", 6)
    assert first.dice.value == pytest.approx(200 / (152 + 130))
    assert [part.dice.value for part in others] == [pytest.approx(200 / (152 + 112))] * 4


def test_a_defect_that_nobody_marked_is_left_out(outlined: Project) -> None:
    unmarked = outlined.manifest.select("test").table.query("label == 'Crack'")["path"].iloc[0]
    change_masks(outlined, lambda row: row["path"] != unmarked)
    evaluation = run(outlined)
    assert evaluation.outlines is not None
    assert (evaluation.outlines.num_images, evaluation.outlines.num_unknown) == (29, 1)
    assert evaluation.outlines.overlaps[2].there_px == 360
    table = RegionTable.read(outlined.evaluation_dir / "regions.csv")
    assert table.known_px[table.paths.tolist().index(unmarked)] == 0
    assert "1 further test image was left out" in (outlined.evaluation_dir / "report.html").read_text()


def test_a_test_split_without_a_mask_is_said_instead_of_figures(outlined: Project) -> None:
    change_masks(outlined, lambda row: row["split"] != "test")
    evaluation = run(outlined)
    assert (evaluation.outlines, evaluation.no_outlines) == (None, NOTHING_MARKED)
    assert not list((outlined.evaluation_dir / "worst").iterdir())
    assert card.main(outlined.card_arguments) == 0
    assert NOTHING_MARKED in outlined.card_path.read_text(encoding="utf-8")


def test_maps_that_do_not_fit_are_named_with_the_command(outlined: Project, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(outlined.evaluation_dir)
    folder = maps_dir(outlined)
    last = sorted(folder.glob("*.png"))[-1]
    kept = last.read_bytes()

    def refused() -> str:
        assert evaluate.main(outline_arguments(outlined)) == 2
        assert not outlined.evaluation_dir.exists()
        return capsys.readouterr().err

    last.unlink()
    assert f"{last.name} is missing" in (message := refused())
    assert "run python -m training.predict --task segmentation" in message
    write_map(folder, int(last.stem), np.ones((10, 12), np.uint8), np.zeros((10, 12)))
    assert f"{last} is 12 x 10 pixels, but the input of its contract is 32 x 24" in refused()
    last.write_bytes(kept)
    shutil.copy(last, map_path(folder, 999))
    assert "000999.png is of no row" in refused()


def test_what_is_measured_names_the_data_with_its_masks(evaluated: Project) -> None:
    found = Evaluation.read(evaluated.evaluation_dir / "evaluation.json").data_sha256
    assert found == evaluated.manifest.data_sha256("segmentation") != evaluated.manifest.sha256


def test_the_card_says_what_is_outlined_how_and_how_well(evaluated: Project) -> None:
    assert card.main(evaluated.card_arguments) == 0
    text = evaluated.card_path.read_text(encoding="utf-8")
    assert "the model outlines what it shows of Blowhole, Crack" in text
    assert "reaches the contract's threshold, 0.6" in text
    assert "fewer than 2 pixels is left out" in text
    assert re.search(r"^\| Any region \| 0\.597 \([\d.–]+\) \| 0\.747 \([\d.–]+\) \| ", text, re.M)
    assert re.search(r"^\| Any region \(20 defects of 4 groups\) \| 0\.750 \(", text, re.M)
    assert "Where in a picture a thing lies" not in text
    assert "## Worst outlines" not in text
    assert "by_image" not in text
    data: Any = ModelCard(text).data
    assert data.pipeline_tag == "image-segmentation"
    results = {(result.metric_type, result.metric_name): result.metric_value for result in data.eval_results}
    assert results["dice", "Dice, pooled, any region (test, split by group)"] == pytest.approx(1000 / 1338)
    report = (evaluated.root / "artifacts/report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") == 12


def test_a_card_of_other_outlines_than_the_models_is_refused(
    outlined: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    write_contracts(outlined, threshold=0.7)
    assert card.main(outlined.card_arguments) == 2
    assert "measured by another contract than the model's (threshold: 0.6, 0.7)" in capsys.readouterr().err
    write_contracts(outlined)
    (outlined.evaluation_dir / "worst/miss_00.png").unlink()
    assert card.main(outlined.card_arguments) == 2
    assert "cannot show the drawing" in capsys.readouterr().err
    assert evaluate.main(outlined.evaluate_arguments) == 0
    assert card.main(outlined.card_arguments) == 2
    assert "run python -m evaluation.evaluate with --maps" in capsys.readouterr().err


def test_outlines_over_all_folds_are_those_of_every_picture(
    outlined: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    pooled_path = add_folds(outlined)
    arguments = [*outline_arguments(outlined), "--out-of-fold", str(pooled_path)]
    assert evaluate.main(arguments) == 0
    pooled = Evaluation.read(outlined.evaluation_dir / "out_of_fold.json").outlines
    assert pooled is not None
    assert (pooled.num_images, pooled.num_marked, pooled.threshold, pooled.min_region_px) == (90, 60, None, 2)
    # Six tiles a class, of which the last is outlined badly; six pictures raise a false alarm.
    assert pooled.any_region.dice.value == pytest.approx(
        2 * (25 * 36 + 5 * 24 + 25 * 40) / (60 * 38 + 30 * 36 + 54 + 1000)
    )
    assert (pooled.any_object.num_found, pooled.any_object.num_false) == (55, 6)
    report = (outlined.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert "Defects found at 0.1 false alarms an image, any region" in report
    (pooled_path.parent / "group1/predictions.csv").unlink()
    assert evaluate.main(arguments) == 2
    message = capsys.readouterr().err
    assert f"no fold beside {pooled_path} holds a map of" in message
    assert "run python -m training.cross_validate --task segmentation" in message
