"""A segmentation goes through the whole chain: trained, predicted, exported with parity, asked by ONNX."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from dataset.manifest import Manifest
from evaluation.predictions import Predictions
from export import export
from runtime.model.preprocess import read_for_model
from runtime.model.session import Predictor
from tests.training.segmentation_section import segmentation_section
from training import predict, train

PARAMS = {
    "contract": {"height": 64, "width": 64, "resize": "stretch", "interpolation": "bilinear"},
    "model": {"backbone": "test_resnet", "pretrained": "none", "drop_rate": 0.0},
    "train": {
        "seed": 0, "batch_size": 12, "phases": [{"trainable": "all", "epochs": 1, "lr": 0.01}], "weight_decay": 0.01,
        "label_smoothing": 0, "class_weight_power": 0,
    },
    "augment": {"flip": True, "brightness": 0, "contrast": 0, "crop_min_area": 1},
    "segmentation": segmentation_section({"steps": 20}, batch_size=6),
    "export": {"opset": 18, "max_probability_difference": 0.0001, "batch_sizes": [1, 7]},
}  # fmt: skip


@pytest.mark.slow
def test_the_exported_mask_model_gives_the_probabilities_that_were_evaluated(
    tiny_tiles_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    manifest = ["--manifest", str(tiny_tiles_dir / "manifest.csv")]
    checkpoint = ["--checkpoint", "training/checkpoint.pt"]
    of_task = ["--task", "segmentation"]
    assert train.main([*of_task, *manifest, "--out", "training"]) == 0
    assert predict.main([*of_task, *manifest, *checkpoint, "--out", "predictions.csv"]) == 0
    assert export.main([*of_task, *manifest, *checkpoint, "--out", "export"]) == 0

    parity = json.loads(Path("export/parity.json").read_text())
    assert parity["num_images"] == len(Manifest.read(tiny_tiles_dir / "manifest.csv").select("val").table)
    assert parity["argmax_agreement"] == 1

    predictor, test = Predictor.load(Path("export")), Predictions.read(Path("predictions.csv")).select("test")
    files = [tiny_tiles_dir / path for path in test.paths]
    images = np.stack([read_for_model(file.read_bytes(), predictor.contract) for file in files])
    probs = predictor.predict(images)["probabilities"]
    assert np.abs(probs - test.probs).max() < 1e-4
    assert len(np.unique(test.predicted)) > 1  # it tells pictures apart: a constant would pass all of the above
