"""Training a detection for real: it finds planted objects, and its checkpoint is one like any other."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from dataset.boxes import AnnotatedBox, Boxes, write_boxes
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from evaluation.boxes.matching import LOOSE, RIGHT, Truth, match_boxes
from evaluation.predicted_boxes import BoxTable
from evaluation.predictions import Predictions
from tests.training.detection_section import detection_section
from tests.training.records.mlflow_files import assert_files_in_mlflow
from tests.training.records.mlflow_store import copy_empty_store
from training import predict, train
from training.run.checkpoint import Checkpoint

SIZE_PX = 64
OF_TASK = ("--task", "detection")
SECTION = detection_section(
    {"view": 0.5, "steps": 25}, {"view": 1.0, "steps": 20, "lr": 0.005}, channels=16, coarsest_stride=16, batch_size=8
)


@pytest.fixture(autouse=True)
def _own_tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    mlflow.set_tracking_uri(copy_empty_store(tmp_path / "mlflow.db"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def box_params(tmp_path: Path, tiny_params: dict[str, Any]) -> Path:
    """A params file for a small network."""
    tiny_params["model"] = {"backbone": "test_resnet", "pretrained": "none", "drop_rate": 0.0}
    tiny_params["detection"] = SECTION
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    return path


@pytest.fixture
def blots(tmp_path: Path) -> Path:
    """A manifest of noise, 32 x 64 pixels: a third with bright blots, a third with dark ones, a third with none."""
    rng = np.random.default_rng(0)
    rows, boxes = [], []
    for i in range(54):
        label = ("bright", "dark", "good")[i % 3]
        pixels = rng.normal(110, 15, (SIZE_PX // 2, SIZE_PX))
        for half in range(0 if label == "good" else 1 + i // 3 % 2):  # one or two, side by side
            left, top = SIZE_PX // 2 * half + int(rng.integers(SIZE_PX // 2 - 16)), int(rng.integers(SIZE_PX // 2 - 8))
            pixels[top : top + 8, left : left + 16] += 80 if label == "bright" else -80
            boxes.append((f"{i}.png", AnnotatedBox(label, (left, top, left + 16, top + 8))))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{i}.png")
        split = ("train", "train", "train", "train", "val", "test")[i // 9]
        rows.append(
            {"path": f"{i}.png", "label": label, "group": f"g{i}", "split": split, "split_by_image": split,
             "sha256": str(i), "width": SIZE_PX, "height": SIZE_PX // 2}
        )  # fmt: skip
    Manifest(pd.DataFrame(rows).reindex(columns=COLUMNS, fill_value=""), tmp_path).write(tmp_path / "manifest.csv")
    write_boxes(tmp_path, boxes)
    described = {"name": "blots", "title": "Blots", "summary": "", "group_meaning": "blot"}
    DataDescription(**described, objects=("bright", "dark")).write(tmp_path)
    return tmp_path / "manifest.csv"


def _train(manifest: Path, params: Path, out: Path) -> int:
    return train.main([*OF_TASK, "--manifest", str(manifest), "--params", str(params), "--out", str(out)])


def _f1(table: BoxTable, manifest: Manifest, rows: range) -> float:
    """Match the answers in a table's rows with the boxes of as many pictures, in their own pixels."""
    truth, num_right, num_both = Boxes(manifest, table.contract), 0, 0
    for place, row in enumerate(rows):
        there, found = truth.in_picture(place), table.of(row)
        found = found.take(np.flatnonzero(found.scores >= table.contract.threshold))
        num_both += len(there.objects) + len(found.scores)
        for number in range(2):
            own = Truth(there.corners.astype(np.float64), there.objects.astype(np.int64), there.ignored)
            is_one = found.objects == number
            matched = match_boxes(own.take(own.objects == number), found.corners[is_one], found.scores[is_one])
            num_right += int((matched.outcomes[LOOSE] == RIGHT).sum())
    return 2 * num_right / num_both


@pytest.mark.slow
def test_planted_objects_are_found_where_they_are_and_the_checkpoint_predicts(
    blots: Path, box_params: Path, tmp_path: Path
) -> None:
    out, found_dir = tmp_path / "run", tmp_path / "boxes"
    assert _train(blots, box_params, out) == 0
    checkpoint = Checkpoint.load(out / "checkpoint.pt")
    contract = checkpoint.contract
    assert contract.task == "detection"
    assert (contract.objects, contract.merged, contract.max_boxes) == (("bright", "dark"), False, 20)
    assert checkpoint.metrics["val_accuracy"] >= 7 / 9
    assert checkpoint.metrics["val_f1"] > 0.8
    assert_files_in_mlflow(contract.lineage.mlflow_run_id, tmp_path)
    history = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    names = {"val_f1", "val_precision", "val_recall", "val_f1.bright", "val_f1.dark"}
    assert [names <= set(record) for record in history] == [True, True]  # the end of each phase

    files = ["--manifest", str(blots), "--checkpoint", str(out / "checkpoint.pt"), "--out", str(tmp_path / "p.csv")]
    assert predict.main([*OF_TASK, *files]) == 0
    predictions, table = Predictions.read(tmp_path / "p.csv"), BoxTable.read(found_dir)
    assert table.contract == contract
    test = predictions.select("test")
    assert (test.predicted == test.labels).mean() >= 7 / 9
    # The figure that chose the threshold is that of answers as they are made of the table.
    manifest = Manifest.read(blots)
    assert _f1(table, manifest.select("val"), range(9)) == pytest.approx(checkpoint.metrics["val_f1"])
    assert _f1(table, manifest.select("test"), range(9, 18)) > 0.7
    with pytest.raises(SystemExit):
        predict.main([*OF_TASK, *files, "--maps", str(found_dir)])


@pytest.mark.slow
def test_settings_that_are_stated_hold_and_merged_objects_are_one(
    blots: Path, box_params: Path, tmp_path: Path
) -> None:
    document = yaml.safe_load(box_params.read_text())
    document["detection"] = detection_section({"steps": 2}) | {
        "threshold": 0.123, "max_boxes": 7, "objects": "merged", "merged_name": "blot",
    }  # fmt: skip
    box_params.write_text(yaml.safe_dump(document))
    assert _train(blots, box_params, tmp_path / "run") == 0
    checkpoint = Checkpoint.load(tmp_path / "run/checkpoint.pt")
    contract = checkpoint.contract
    assert contract.task == "detection"
    assert (contract.threshold, contract.max_boxes) == (0.123, 7)
    assert (contract.objects, contract.merged) == (("blot",), True)
    assert {"val_f1.blot", "val_f1"} <= set(checkpoint.metrics)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"detection.max_boxes": 600}, "detection.max_boxes is 600, but a picture of 64 x 64 pixels has 512 places"),
        ({"model.backbone": "test_vit"}, "choose another model.backbone"),
        ({"train.loss": "focal"}, "train.loss is focal, which detection has no use for: set detection.train.loss to"),
    ],
)
def test_what_does_not_fit_is_an_error_to_mend(
    changes: dict[str, Any], said: str, blots: Path, box_params: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    document = yaml.safe_load(box_params.read_text())
    for key, value in changes.items():
        section, name = key.split(".")
        document[section][name] = value
    box_params.write_text(yaml.safe_dump(document))
    assert _train(blots, box_params, tmp_path / "run") == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_data_without_boxes_and_an_early_stop_without_any_to_measure_by_are_refused(
    blots: Path, box_params: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = yaml.safe_load(box_params.read_text())
    document["train"]["early_stopping_epochs"] = 1
    box_params.write_text(yaml.safe_dump(document))
    manifest = Manifest.read(blots)
    table = manifest.table.copy()
    table.loc[(table["split"] == "val") & (table["label"] != "good"), "split"] = "test"
    Manifest(table, tmp_path).write(blots)
    assert _train(blots, box_params, tmp_path / "run") == 2
    assert "no validation picture has a box, and train.early_stopping_epochs goes by F1" in capsys.readouterr().err
    DataDescription.read(tmp_path).model_copy(update={"objects": ()}).write(tmp_path)
    assert _train(blots, box_params, tmp_path / "run") == 2
    assert "no picture has a box of an object: give boxes or masks" in capsys.readouterr().err
