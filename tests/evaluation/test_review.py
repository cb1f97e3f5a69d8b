"""The stage `review` with a real ONNX model that answers by colour, on pictures whose colour is one square."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation import predict, review
from evaluation.model_review import ModelReview, ReviewError
from evaluation.predictions import Predictions
from evaluation.robustness import draw_images
from runtime.hashing import file_sha256
from tests.evaluation.coloured_tiles import write_coloured_tiles
from tests.evaluation.made_up import calibrated_predictions
from tests.onnx_fixture import tiny_contract
from tests.overflowing_model import write_overflowing_model


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_coloured_tiles(tmp_path_factory.mktemp("review"))
    assert predict.main(predict_arguments(root)) == 0
    assert review.main(review_arguments(root)) == 0
    return root


def predict_arguments(root: Path) -> list[str]:
    paths = {"model": root / "model", "manifest": root / "data/manifest.csv", "out": root / "predictions.csv"}
    return [part for name, path in paths.items() for part in (f"--{name}", str(path))]


def review_arguments(root: Path) -> list[str]:
    paths = {"model": root / "model", "manifest": root / "data/manifest.csv", "out": root / "review"}
    paths |= {"predictions": root / "predictions.csv", "params": root / "params.yaml"}
    return [part for name, path in paths.items() for part in (f"--{name}", str(path))]


def read(root: Path) -> ModelReview:
    return ModelReview.read(root / "review/review.json")


def test_the_model_is_named_by_its_hash(reviewed: Path) -> None:
    assert read(reviewed).onnx_sha256 == file_sha256(reviewed / "model/model.onnx")


def test_accuracy_holds_under_small_changes_and_falls_where_colour_is_lost(reviewed: Path) -> None:
    robustness = read(reviewed).robustness
    assert robustness.num_images == 9
    assert robustness.unchanged.accuracy.value == pytest.approx(6 / 9)  # one of three labels a class is wrong
    curves = {curve.change: {p.level: p.accuracy.value for p in curve.points} for curve in robustness.curves}
    assert curves["JPEG"][90] == curves["rotation"][5] == curves["blur"][0.5] == pytest.approx(6 / 9)
    for curve in robustness.curves:
        levels = [point.level for point in curve.points]
        assert levels == sorted(levels)
        assert curve.unchanged_level in levels
    assert curves["exposure"][0] == pytest.approx(6 / 9)


def test_the_worst_error_of_each_class_is_mapped_with_its_picture(reviewed: Path) -> None:
    attention = read(reviewed).attention
    predictions = Predictions.read(reviewed / "predictions.csv").select("test")
    wrong = {p for p, a, b in zip(predictions.paths, predictions.labels, predictions.predicted, strict=True) if a != b}
    assert {item.path for item in attention.maps} <= wrong
    assert len(attention.maps) == len({item.label for item in attention.maps}) == 2
    for item in attention.maps:
        assert item.label != item.predicted
        with Image.open(reviewed / "review" / item.picture) as picture:
            assert picture.size == (48 + 4 + 48, 48)


def test_attribution_agrees_with_masks_of_what_the_model_answers_by(reviewed: Path) -> None:
    agreement = read(reviewed).attention.mask_agreement
    assert agreement is not None
    assert agreement.num_images == 5
    assert agreement.chance.value == pytest.approx(14**2 / 48**2, rel=0.15)
    assert agreement.ratio.low is not None
    assert agreement.ratio.low > 3


def test_a_second_run_writes_the_same(reviewed: Path) -> None:
    first = (reviewed / "review/review.json").read_bytes()
    assert review.main(review_arguments(reviewed)) == 0
    assert (reviewed / "review/review.json").read_bytes() == first


def test_without_masks_it_is_said(tmp_path: Path) -> None:
    root = write_coloured_tiles(tmp_path)
    manifest = root / "data/manifest.csv"
    lines = [line.split(",") for line in manifest.read_text().splitlines()]
    column = lines[0].index("mask")
    text = "\n".join(",".join("" if i == column and n else v for i, v in enumerate(r)) for n, r in enumerate(lines))
    manifest.write_text(text + "\n")
    assert predict.main(predict_arguments(root)) == 0
    assert review.main(review_arguments(root)) == 0
    attention = read(root).attention
    assert attention.mask_agreement is None
    assert "No correctly recognised test picture has a mask" in attention.no_masks
    assert attention.maps[0].share_in_mask is None


def test_predictions_of_a_model_with_other_classes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_coloured_tiles(tmp_path)
    assert predict.main(predict_arguments(root)) == 0
    path = root / "predictions.csv"
    table = path.read_text().splitlines()
    columns = table[0].split(",")
    first, second = columns.index("probability.red"), columns.index("probability.green")
    swapped = []
    for line in table:
        values = line.split(",")
        values[first], values[second] = values[second], values[first]
        swapped.append(",".join(values))
    path.write_text("\n".join(swapped) + "\n")
    assert review.main(review_arguments(root)) == 2
    assert "has the classes red, green, blue, but the predictions green, red, blue" in capsys.readouterr().err


def test_a_damaged_review_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="cannot read the review"):
        ModelReview.read(tmp_path / "review.json")
    (tmp_path / "review.json").write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(ReviewError, match="is not a valid review"):
        ModelReview.read(tmp_path / "review.json")


def test_a_sample_takes_classes_in_turn_and_is_the_same_for_the_same_seed() -> None:
    test = calibrated_predictions(num_groups=200).select("test")
    sample = draw_images(test, 30, seed=4)
    assert np.bincount(sample.labels).tolist() == [10, 10, 10]
    assert list(sample.paths) == list(draw_images(test, 30, seed=4).paths)
    assert list(sample.paths) != list(draw_images(test, 30, seed=5).paths)
    assert draw_images(test, len(test.labels), seed=0) is test


def test_a_model_that_overflows_on_a_changed_picture_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_coloured_tiles(tmp_path)
    write_overflowing_model(root / "model", tiny_contract(48, 48))
    assert predict.main(predict_arguments(root)) == 0
    assert review.main(review_arguments(root)) == 2
    assert "not finite for" in capsys.readouterr().err
