"""Filters for scoring: one holds the process where a test wants it, on pictures of one class, while a file is there."""

import time
from pathlib import Path

from runtime.results import Prediction, Segmentation


def hold(prediction: Prediction, label: str, gate: str) -> Prediction:
    while prediction.label == label and Path(gate).exists():
        Path(f"{gate}.reached").touch()
        time.sleep(0.02)
    return prediction


def fail_on(prediction: Prediction, label: str) -> Prediction:
    if prediction.label == label:
        raise RuntimeError("as asked")
    return prediction


def largest(segmentation: Segmentation) -> Segmentation:
    return segmentation.model_copy(update={"regions": segmentation.regions[:1]})
