"""Predictions of an exported model by its files; a running service is asked in tests/service."""

import shutil
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import numpy as np
import onnx
import pandas as pd
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from PIL import Image

from dataset.manifest import COLUMNS, Manifest
from evaluation import predict
from evaluation.asked_model import AskedModel, read_asked_model, refuse_other_model
from evaluation.predictions import Predictions, PredictionsError
from runtime.model.contract import CONTRACT_FILE, IMAGES, ONNX_FILE, read_contract
from runtime.model.hashing import file_sha256
from runtime.model.preprocess import read_for_model
from runtime.model.session import Predictor
from tests.evaluation.coloured_tiles import write_coloured_tiles
from tests.onnx_fixture import tiny_contract
from tests.overflowing_model import WHITE, write_overflowing_model


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
        np.testing.assert_allclose(probs, predictor.predict(image[None])["probabilities"][0], atol=1e-6)


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Every picture of the manifest, one at a time, as calibration takes them."""

    def __init__(self, root: Path) -> None:
        contract = read_contract(root / "model" / CONTRACT_FILE)
        manifest = Manifest.read(root / "data/manifest.csv")
        paths = [root / "data" / path for path in manifest.table["path"]]
        self.batches = iter([{IMAGES: read_for_model(path.read_bytes(), contract)[None]} for path in paths])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def quantized(root: Path, *operators: str) -> Path:
    """Return the directory of the same model with 8-bit `operators` (all if none is named) and the same contract."""
    model_dir = root / "int8"
    model_dir.mkdir()
    source, target = root / "model" / ONNX_FILE, model_dir / ONNX_FILE
    quantize_static(
        source, target, _Pictures(root), op_types_to_quantize=list(operators) or None, weight_type=QuantType.QInt8
    )
    shutil.copy(root / "model" / CONTRACT_FILE, model_dir)
    return model_dir


def test_an_int8_graph_is_asked_like_any_other(root: Path) -> None:
    model_dir = quantized(root, "MatMul")
    weights = onnx.load(model_dir / ONNX_FILE).graph.initializer
    assert any(weight.data_type == onnx.TensorProto.INT8 and len(weight.dims) == 2 for weight in weights)
    assert run(root) == 0
    exact = Predictions.read(root / "predictions.csv")
    assert run(root, "--model", str(model_dir)) == 0
    got = Predictions.read(root / "predictions.csv")
    assert list(got.predicted) == list(exact.predicted)
    difference = np.abs(got.probs - exact.probs).max()
    assert 0 < difference < 0.05  # rounded to 8 bits, so neither the same graph nor another model


def test_a_graph_that_rounds_probabilities_to_8_bits_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--model", str(quantized(root))) == 2
    assert "probabilities sum to 0.99" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "data/pictures/green1.png").write_bytes(b"nothing")
    assert run(root) == 2
    assert "green1.png" in capsys.readouterr().err
    assert not (root / "predictions.csv").exists()


def test_a_picture_on_which_the_model_overflows_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_overflowing_model(root / "overflowing", tiny_contract(48, 48))
    Image.new("RGB", (24, 16), WHITE).save(root / "data/pictures/green1.png")
    assert run(root, "--model", str(root / "overflowing")) == 2
    assert "not finite or not in [0, 1] for pictures/green1.png" in capsys.readouterr().err
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


def answer(sha256: str) -> dict[str, object]:
    return {"probabilities": {"red": 0.5, "green": 0.5, "blue": 0.0}, "model": {"sha256": sha256}}


def test_the_model_that_answered_is_recorded_beside_the_table_and_of_no_other(root: Path) -> None:
    assert run(root) == 0
    path = root / "predictions.csv"
    model = read_asked_model(path)
    assert model == AskedModel(asked=str(root / "model"), onnx_sha256=file_sha256(root / "model" / ONNX_FILE))
    refuse_other_model(path, model.onnx_sha256)
    with pytest.raises(PredictionsError, match=f"the answers of {root / 'model'} .* but the model is ffffffffffff"):
        refuse_other_model(path, "f" * 64)
    Predictions.read(path).select("test").write(path)  # another command's table
    assert read_asked_model(path) is None
    refuse_other_model(path, "f" * 64)


def test_a_service_whose_model_changes_while_it_is_asked_is_refused(root: Path) -> None:
    hashes = iter("aab")
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=[answer(next(hashes) * 64)]))
    manifest = Manifest.read(root / "data/manifest.csv")
    client = httpx.Client(transport=transport, base_url="http://service")
    with client, pytest.raises(PredictionsError, match=r"the model changed from a{64} to b{64}"):
        predict.predict(manifest, "group", partial(predict.ask_service, client), 1)


def test_a_service_of_several_models_is_refused(root: Path) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=[answer("a" * 64), answer("b" * 64)]))
    files = [root / "data/pictures" / name for name in ("red0.png", "red1.png")]
    client = httpx.Client(transport=transport, base_url="http://service")
    with client, pytest.raises(PredictionsError, match="several models answer"):
        predict.ask_service(client, files)


def test_the_trained_models_table_is_not_written_over_unasked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert predict.main(["--manifest", "data/manifest.csv", "--model", "model"]) == 0
    assert not (root / "artifacts/predictions.csv").exists()
    assert (root / "artifacts/asked.csv").is_file()


@pytest.mark.parametrize(
    ("url", "said"), [("http://service.invalid", "gave no predictions"), ("http://127.0.0.1:9", "does not answer")]
)
def test_a_proxy_is_asked_for_other_machines_and_not_for_this_one(
    url: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "a.png").write_bytes(b"x")
    manifest = Manifest(pd.DataFrame(columns=COLUMNS), tmp_path)
    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with predict._asking(tmp_path, url, manifest) as (ask, _), pytest.raises(PredictionsError, match=said):
                ask([tmp_path / "a.png"])
        finally:
            server.shutdown()
            thread.join()
