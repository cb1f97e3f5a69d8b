"""A detection model's exported graph is asked for its boxes and evaluated, as training's own predictions are."""

from pathlib import Path

import pytest

from evaluation import evaluate, inspect, predict
from evaluation.evaluation import Evaluation
from evaluation.predicted_boxes import BoxTable
from tests.onnx_detector import BESIDE, CONTRACT, write_data, write_detector
from tests.onnx_segmenter import SpottedData, write_segmenter


def options(root: Path, **paths: str) -> list[str]:
    return [part for name, path in paths.items() for part in (f"--{name}", str(root / path))]


def asking(root: Path, model: str = "export") -> list[str]:
    return options(root, model=model, manifest="data/manifest.csv", boxes="boxes", out="predictions.csv")


def test_the_graphs_own_boxes_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(tmp_path / "data", SpottedData())
    write_detector(tmp_path / "export", BESIDE)
    section = "evaluate: {seed: 0, confidence: 0.95, bootstrap_samples: 100}"
    (tmp_path / "params.yaml").write_text(f"data: {{near_duplicate_correlation: 0.99}}\n{section}\n")
    assert inspect.main(options(tmp_path, data="data", out="inspection", params="params.yaml")) == 0
    assert predict.main([*asking(tmp_path), "--batch-size", "5"]) == 0
    table = BoxTable.read(tmp_path / "boxes")
    assert (table.contract, table.rows.max()) == (CONTRACT, 17)
    files = {"predictions": "predictions.csv", "boxes": "boxes", "data": "data", "inspection": "inspection"}
    assert evaluate.main(options(tmp_path, **files, out="evaluation", params="params.yaml")) == 0
    boxes = Evaluation.read(tmp_path / "evaluation/evaluation.json").boxes
    assert boxes is not None
    assert (boxes.num_images, boxes.any_object.num_objects, boxes.any_object.num_right) == (12, 8, 8)
    assert boxes.mean.ap.value == pytest.approx(0.4)  # IoU 24/36
    # A graph without boxes, and a service, are refused before anything is written.
    write_segmenter(tmp_path / "other")
    assert predict.main(asking(tmp_path, "other")) == 2
    assert "finds no boxes: leave --boxes out" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        predict.main([*asking(tmp_path)[2:], "--url", "http://127.0.0.1:1"])
    assert "a service answers no box below its threshold" in capsys.readouterr().err
    assert BoxTable.read(tmp_path / "boxes").contract == CONTRACT
