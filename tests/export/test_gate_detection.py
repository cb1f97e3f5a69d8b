"""A detection model that finds less is refused, with both figures; on other data the registered one is asked again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset.boxes import write_boxes
from evaluation.boxes.object_table import ObjectTable
from evaluation.boxes.picture_boxes import PictureBoxes
from evaluation.document import EvaluationError
from evaluation.predictions import Predictions
from export.gate import GateError, predict_again
from export.measured_model import MeasuredModel, measured_files, read_measured_model
from tests.export.gate_settings import gate
from tests.onnx_detector import BESIDE, SPOT, write_data, write_detector
from tests.onnx_segmenter import REGIONS, SEGMENTER_CLASSES, SpottedData


def measured(directory: Path, corners: tuple[float, ...], data: SpottedData | None = None) -> MeasuredModel:
    """Return a model as registration reads it, from files as evaluation leaves them."""
    manifest = write_data(directory / "data", data or SpottedData())
    write_detector(directory / "export", corners)
    rows = manifest.table[manifest.table["split"] != "train"].reset_index(drop=True)
    asked = Predictions.from_table(rows, np.full((len(rows), 3), 1 / 3), SEGMENTER_CLASSES)
    predictions, _, table = predict_again(directory / "export", asked, manifest)
    assert table is not None
    predictions.write(directory / "predictions.csv")
    table.take(np.flatnonzero(predictions.splits == "test")).write(directory / "evaluation/objects.csv")
    return read(directory)


def read(directory: Path) -> MeasuredModel:
    places = (directory / "export", directory / "predictions.csv", directory / "data", directory / "evaluation")
    return read_measured_model("this model", *places)


def test_what_a_graph_finds_is_measured_in_the_pictures_own_pixels(tmp_path: Path) -> None:
    table = measured(tmp_path, SPOT).objects
    assert table is not None
    assert len(table.pictures) == 12
    for path, one in zip(table.paths, table.pictures, strict=True):
        surest = one.found.take(np.flatnonzero(one.found.scores > 0.5))
        assert [REGIONS[number] for number in one.truth.objects] == [name for name in REGIONS if name in path]
        assert surest.objects.tolist() == one.truth.objects.tolist()
        np.testing.assert_allclose(surest.corners, one.truth.corners, atol=1e-3)


def test_a_model_that_finds_worse_is_refused_with_both_figures(tmp_path: Path) -> None:
    """It names every picture's class as before, so that its boxes alone are the reason."""
    first, worse = measured(tmp_path / "old", SPOT), measured(tmp_path / "new", BESIDE)
    with pytest.raises(GateError) as refused:
        gate(tmp_path).admit(worse, replace(first, name="old:1"), "the newest")
    said = str(refused.value)
    assert "worse than old:1 on the same 12 test pictures: AP, mean over objects, falls from 1.000 to 0.400" in said
    assert "AP 0.50" not in said  # at IoU 0.5 it is no worse
    assert "macro-F1" not in said
    labels = gate(tmp_path, "only classes are wanted").admit(worse, first, "the newest")
    assert labels["accepted_worse"] == "only classes are wanted"
    assert gate(tmp_path).admit(first, worse, "the newest")["gate"].startswith("no worse than")


def without_one(model: MeasuredModel, name: str, number: int) -> MeasuredModel:
    """Leave out what the model found in the first pictures of an object."""
    table, left = model.objects, number
    assert table is not None
    pictures: list[PictureBoxes] = []
    for path, one in zip(table.paths, table.pictures, strict=True):
        is_left_out = name in path and left > 0
        left -= is_left_out
        pictures.append(one._replace(found=one.found.take(slice(0))) if is_left_out else one)
    return replace(model, objects=replace(table, pictures=tuple(pictures)))


def test_one_object_alone_is_reason_enough_and_the_margin_is_the_params(tmp_path: Path) -> None:
    """Of four pictures of red one is lost: its average precision falls to 76 of 101 recalls, the mean by half."""
    first = measured(tmp_path / "old", SPOT)
    with pytest.raises(
        GateError, match=r"mean over objects, falls from 1\.000 to 0\.876 .*AP 0\.50 of red falls .*0\.752"
    ):
        gate(tmp_path).admit(without_one(first, "red", 1), first, "the newest")
    wide = gate(tmp_path)
    wide = replace(wide, margins=wide.margins.model_copy(update={"max_ap_drop": 0.13}))
    with pytest.raises(GateError, match=r"test pictures: AP 0\.50 of red falls"):
        wide.admit(without_one(first, "red", 1), first, "the newest")
    wider = replace(wide, margins=wide.margins.model_copy(update={"max_ap_drop": 0.25}))
    assert wider.admit(without_one(first, "red", 1), first, "the newest")["gate"].startswith("no worse")


def test_on_other_data_the_registered_model_is_asked_again(tmp_path: Path) -> None:
    """Of its own test pictures it found nothing; of the new ones, which it has never seen, it finds everything."""
    first = without_one(measured(tmp_path / "old", SPOT), "", 99)
    worse = measured(tmp_path / "new", BESIDE, SpottedData(("train", "val", "test", "test"), first=2))
    with pytest.raises(GateError, match=r"AP, mean over objects, falls from 1\.000 to 0\.400"):
        gate(tmp_path).admit(worse, replace(first, name="old:1"), "the newest")


def test_a_model_that_no_longer_finds_an_object_cannot_be_compared(tmp_path: Path) -> None:
    first = measured(tmp_path / "old", SPOT)
    assert first.objects is not None
    fewer = replace(first, objects=first.objects.in_order_of(("red",)))
    with pytest.raises(GateError, match="old:1 finds blue, which this model does not"):
        gate(tmp_path).admit(fewer, replace(first, name="old:1"), "the newest")
    labels = gate(tmp_path).admit(first, fewer, "the newest")  # what only the new one finds is not asked for
    assert labels["gate"].startswith("no worse")


def test_boxes_measured_against_others_cannot_be_compared(tmp_path: Path) -> None:
    first = measured(tmp_path / "old", SPOT)
    write_boxes(tmp_path / "old/data", [])
    (tmp_path / "old/evaluation/objects.csv").unlink()
    table = predict_again(first.model_dir, first.predictions.select("test"), first.manifest)[2]
    assert table is not None
    with pytest.raises(GateError, match=r"do not know the objects of the same pictures: evaluate both"):
        gate(tmp_path).admit(replace(first, objects=table), first, "the newest")


def test_the_store_keeps_the_objects_and_those_of_another_run_are_refused(tmp_path: Path) -> None:
    first = measured(tmp_path, SPOT)
    path = tmp_path / "evaluation/objects.csv"
    assert measured_files("detection", tmp_path / "p.csv", tmp_path / "data", path.parent)["objects.csv"] == path
    table = first.objects
    assert table is not None
    for other, message in (
        (table.take(np.arange(3)), "objects.csv is not of the predictions' test pictures"),
        (replace(table, objects=("blue", "green")), "objects.csv is of other objects than the model"),
        (replace(table, pictures=tuple(one._replace(threshold=0.4) for one in table.pictures)), "another threshold"),
    ):
        other.write(path)
        with pytest.raises(EvaluationError, match=message):
            read(tmp_path)
    ObjectTable.read(path)
