"""Tiny parameters for real training runs: a backbone of few weights on small pictures."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.records.mlflow_store import copy_empty_store

REPOSITORY = Path(__file__).parent.parent.parent
TINY: dict[str, Any] = {
    "contract": {"height": 64, "width": 64, "resize": "stretch", "interpolation": "bilinear"},
    "model": {"backbone": "tf_efficientnet_lite0", "pretrained": "package", "drop_rate": 0.0},
    "train": {
        "seed": 0,
        "batch_size": 12,
        "phases": [
            {"trainable": "head", "epochs": 1, "lr": 0.01},
            {"trainable": "all", "epochs": 1, "lr": 0.002, "backbone_lr_scale": 0.1},
        ],
        "weight_decay": 0.01,
        "label_smoothing": 0.05,
        "class_weight_power": 0.5,
    },
    "augment": {"flip": True, "brightness": 0.2, "contrast": 0.2, "crop_min_area": 0.8},
    "export": {"opset": 18, "max_probability_difference": 0.0001, "batch_sizes": [1, 7]},
}


@pytest.fixture
def tiny_params() -> dict[str, Any]:
    """Sections of a params file, to change and to write."""
    return copy.deepcopy(TINY)


@pytest.fixture
def params_file(tmp_path: Path, tiny_params: dict[str, Any]) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    return path


@pytest.fixture
def own_tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test's own, which holds the MLflow database that runs go to."""
    import mlflow

    mlflow.set_tracking_uri(copy_empty_store(tmp_path / "mlflow.db"))
    monkeypatch.chdir(tmp_path)
