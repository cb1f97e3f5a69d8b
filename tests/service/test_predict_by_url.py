"""Evaluation asks a running service for predictions, and gets what the graph itself says."""

from pathlib import Path

import numpy as np

from evaluation import predict
from evaluation.predictions import Predictions
from tests.bento_project import Served
from tests.evaluation.coloured_tiles import write_coloured_tiles


def test_a_service_gives_the_predictions_of_the_graph_that_it_serves(served: Served, tmp_path: Path) -> None:
    root = write_coloured_tiles(tmp_path)
    common = ["--manifest", str(root / "data/manifest.csv"), "--batch-size", "4"]
    graph_dir = served.project.home / "models" / served.classifier.replace(":", "/")
    assert predict.main([*common, "--url", served.url, "--out", str(tmp_path / "by_url.csv")]) == 0
    assert predict.main([*common, "--model", str(graph_dir), "--out", str(tmp_path / "by_file.csv")]) == 0
    by_url, by_file = (Predictions.read(tmp_path / f"{name}.csv") for name in ("by_url", "by_file"))
    assert by_url.classes == by_file.classes
    assert list(by_url.paths) == list(by_file.paths)
    np.testing.assert_allclose(by_url.probs, by_file.probs, atol=1e-6)
