"""The stage `review` with a real ONNX model that answers by colour, on pictures whose colour is one square."""

import json
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataset.annotations import marked, write_mask
from dataset.manifest import Manifest
from evaluation import predict, review
from evaluation.analyses.picture_changes import CHANGES
from evaluation.analyses.robustness import BATCH_SIZE, draw_images, measure_robustness
from evaluation.analyses.worst_errors import worst_errors_by_class
from evaluation.model_review import ModelReview, ReviewError
from evaluation.predictions import Predictions
from runtime.model.hashing import file_sha256
from runtime.model.session import Predictor
from tests.evaluation.coloured_tiles import write_coloured_tiles
from tests.evaluation.made_up import PARAMS, calibrated_predictions
from tests.onnx_fixture import tiny_contract, write_tiny_model
from tests.overflowing_model import write_overflowing_model
from training.tasks.masked_pictures import MaskedPictures


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


def test_few_pictures_are_held_at_a_time_however_many_are_asked_about() -> None:
    sample = calibrated_predictions(num_groups=60).select("test")
    refs: list[weakref.ref[np.ndarray]] = []
    most = 0

    def read_picture(_: str) -> np.ndarray:
        nonlocal most
        picture = np.full((20, 20, 3), 99, np.uint8)
        refs.append(weakref.ref(picture))
        most = max(most, sum(ref() is not None for ref in refs))
        return picture

    def answer(batch: np.ndarray) -> np.ndarray:
        return np.tile(np.array([0.2, 0.3, 0.5]), (len(batch), 1))

    found = measure_robustness(sample, read_picture, lambda picture: picture, answer, PARAMS, seed=0)
    assert len(refs) == len(sample.paths) == found.num_images == 60  # each is read once
    assert most <= 2 * BATCH_SIZE
    assert {curve.change for curve in found.curves} == {change.name for change in CHANGES}
    assert {p.accuracy.value for curve in found.curves for p in curve.points} == {found.unchanged.accuracy.value}


def test_a_large_picture_is_reduced_before_it_is_changed_and_a_small_one_is_not(reviewed: Path) -> None:
    manifest = Manifest.read(reviewed / "data/manifest.csv")
    subject = review.Subject(Predictor.load(reviewed / "model"), manifest)
    path = str(manifest.table["path"][0])
    np.testing.assert_array_equal(subject.read_reduced(path), subject.read(path))
    large = np.zeros((500, 1500, 3), np.uint8)
    large[:, 750:] = 200
    Image.fromarray(large).save(reviewed / "data/large.png")
    reduced = subject.read_reduced("large.png")
    # The model takes 48 x 48 and twice that is kept of each side.
    assert reduced.shape == (100, 300, 3)
    assert (reduced[:, 150:] == 200).all()
    assert not reduced[:, :150].any()


def test_a_mask_is_what_training_takes_it_for(tmp_path: Path) -> None:
    """By one rule, on a pixel that a third of a mask covers and under the bars of a letterbox."""
    root = write_coloured_tiles(tmp_path)
    write_tiny_model(root / "model", tiny_contract(48, 48).model_copy(update={"resize": "letterbox"}))
    manifest = Manifest.read(root / "data/manifest.csv")
    mask = np.zeros((72, 144), np.uint8)
    mask[30:42, 30:61] = 1
    write_mask(root / "data" / manifest.table["mask"][0], mask)
    subject = review.Subject(Predictor.load(root / "model"), manifest)
    found = subject.mask(str(manifest.table["path"][0]))
    assert found is not None
    trained = MaskedPictures(manifest, subject.predictor.contract)[0].mask
    assert trained is not None
    np.testing.assert_array_equal(found, marked(trained))
    assert found.sum() == 4 * 10


def errors(num_classes: int, per_class: int) -> Predictions:
    """Test images of which every one is wrong; class i has i + 1 times `per_class` groups, and later ones are surer."""
    labels = np.repeat(np.arange(num_classes), per_class * (1 + np.arange(num_classes)))
    probs = np.full((len(labels), num_classes), 0.3 / (num_classes - 1))
    probs[np.arange(len(labels)), (labels + 1) % num_classes] = 0.7 + np.arange(len(labels)) / 1e4
    classes = tuple(f"c{i:04d}" for i in range(num_classes))
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(len(labels))], "label": np.asarray(classes)[labels]})
    table = table.assign(group=table["path"], split="test")
    return Predictions.from_table(table, probs / probs.sum(axis=1, keepdims=True), classes)


def test_maps_are_bounded_in_all_with_one_of_each_class_and_the_rarest_first() -> None:
    test = errors(12, 2)
    every = worst_errors_by_class(test, 2)
    assert np.bincount(test.labels[every]).tolist() == [2] * 12
    assert worst_errors_by_class(test, 2, 24).tolist() == every.tolist()
    some = worst_errors_by_class(test, 2, 15)
    assert np.bincount(test.labels[some]).tolist() == [2] * 3 + [1] * 9
    assert np.bincount(test.labels[worst_errors_by_class(test, 2, 5)]).tolist() == [1] * 5
    assert set(some) <= set(every)
    assert worst_errors_by_class(test, 2, 0).size == 0


def test_a_model_that_overflows_on_a_changed_picture_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_coloured_tiles(tmp_path)
    write_overflowing_model(root / "model", tiny_contract(48, 48))
    assert predict.main(predict_arguments(root)) == 0
    assert review.main(review_arguments(root)) == 2
    assert "not finite for" in capsys.readouterr().err
