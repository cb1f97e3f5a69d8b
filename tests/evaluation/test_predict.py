"""Predictions of an exported model by its files; a running service is asked in tests/service."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from dataset.manifest import Manifest
from evaluation import predict
from evaluation.predictions import Predictions, PredictionsError
from runtime.preprocess import read_for_model
from runtime.session import Predictor
from tests.evaluation.coloured_tiles import write_coloured_tiles


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_coloured_tiles(tmp_path)


def run(root: Path, *more: str) -> int:
    files = ["--manifest", str(root / "data/manifest.csv"), "--out", str(root / "predictions.csv")]
    return predict.main([*files, *(more or ("--model", str(root / "model")))])


def test_probabilities_are_those_of_the_graph_picture_by_picture(root: Path) -> None:
    assert run(root, "--model", str(root / "model"), "--batch-size", "5") == 0
    got, manifest = Predictions.read(root / "predictions.csv"), Manifest.read(root / "data/manifest.csv")
    assert list(got.paths) == list(manifest.table["path"])
    assert got.classes == ("red", "green", "blue")
    predictor = Predictor.load(root / "model")
    for path, probs in zip(got.paths, got.probs, strict=True):
        image = read_for_model((root / "data" / path).read_bytes(), predictor.contract)
        np.testing.assert_allclose(probs, predictor.predict(image[None])[0][0], atol=1e-6)


def test_a_picture_that_cannot_be_read_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "data/pictures/green1.png").write_bytes(b"nothing")
    assert run(root) == 2
    assert "green1.png" in capsys.readouterr().err
    assert not (root / "predictions.csv").exists()


def test_a_missing_model_is_one_clear_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--model", str(root / "nowhere")) == 2
    assert "cannot read the model contract" in capsys.readouterr().err


def test_a_service_that_is_not_there_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--url", "http://127.0.0.1:9") == 2
    assert "the service at http://127.0.0.1:9 does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, [{"label": "red"}], "gave no predictions"),
        (200, {"hello": "world"}, "gave no predictions"),
        (200, [{"probabilities": {"red": 1.0}}], "answered 1 of 2 pictures"),
        (415, {"error": {"code": "unsupported_format"}}, "refused .*red0.png to .*red1.png: 415 .*unsupported_format"),
    ],
)
def test_an_answer_that_is_not_ours_is_refused(root: Path, status: int, body: object, message: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    files = [root / "data/pictures" / name for name in ("red0.png", "red1.png")]
    client = httpx.Client(transport=transport, base_url="http://service")
    with client, pytest.raises(PredictionsError, match=message):
        predict.ask_service(client, files)
