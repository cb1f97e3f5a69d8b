"""A real network exported for real: the graph answers as the network does, or nothing is exported."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch
import yaml

from dataset.manifest import Manifest
from export import export
from export.graph import ServedModel, write_onnx
from runtime.model.contract import CONTRACT_KEY, ClassificationContract, Lineage, parse_contract, read_contract
from runtime.model.image import decode_image
from runtime.model.preprocess import preprocess
from runtime.model.session import Predictor
from training.network.classifier import Classifier, load_classifier
from training.run.checkpoint import Checkpoint

FILTERS = [
    {"kind": "abstain", "below": 0.7},
    {"kind": "hook", "path": "hooks.rules:check", "options": {"shift": "night"}},
]
PARAMS = {
    "contract": {"height": 64, "width": 48, "resize": "stretch", "interpolation": "bilinear", "filters": FILTERS},
    "export": {"opset": 18, "max_probability_difference": 0.0001, "batch_sizes": [1, 7]},
}


@pytest.fixture(scope="module")
def checkpoint_path(tiny_tiles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights with a temperature, so that leaving it out would show."""
    torch.manual_seed(0)
    classes = Manifest.read(tiny_tiles_dir / "manifest.csv").classes
    backbone = timm.create_model("tf_efficientnet_lite0", num_classes=len(classes))
    contract = ClassificationContract(
        classes=classes, height=64, width=48, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), temperature=1.7,
        lineage=Lineage(backbone="tf_efficientnet_lite0"),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.pt"
    Checkpoint(Classifier(backbone, contract.mean, contract.std).state_dict(), contract, {}, 1, {}).save(path)
    return path


@pytest.fixture(scope="module")
def exported(checkpoint_path: Path, tiny_tiles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    assert _export(checkpoint_path, tiny_tiles_dir, out, PARAMS) == 0
    return out


def _export(checkpoint: Path, data_dir: Path, out: Path, params: object) -> int:
    params_path = out / "params.yaml"
    params_path.write_text(yaml.safe_dump(params), encoding="utf-8")
    files = ["--checkpoint", str(checkpoint), "--manifest", str(data_dir / "manifest.csv"), "--out", str(out)]
    return export.main([*files, "--params", str(params_path)])


@pytest.mark.slow
def test_parity_is_proven_over_the_whole_validation_split(exported: Path, tiny_tiles_dir: Path) -> None:
    parity = json.loads((exported / "parity.json").read_text())
    assert parity["num_images"] == len(Manifest.read(tiny_tiles_dir / "manifest.csv").select("val").table)
    assert parity["batch_sizes"] == [1, 7]
    assert 0 < parity["max_probability_difference"] <= 1e-4
    assert parity["argmax_agreement"] == 1


@pytest.mark.slow
def test_the_graph_answers_as_the_network_at_any_batch(
    exported: Path, checkpoint_path: Path, tiny_tiles_dir: Path
) -> None:
    checkpoint, predictor = Checkpoint.load(checkpoint_path), Predictor.load(exported)
    table = Manifest.read(tiny_tiles_dir / "manifest.csv").select("test").table
    files = [tiny_tiles_dir / path for path in table["path"].head(5)]
    images = np.stack([preprocess(decode_image(file.read_bytes()), checkpoint.contract) for file in files])
    with torch.inference_mode():
        logits = load_classifier(checkpoint.contract, checkpoint.state_dict)(torch.from_numpy(images))
    for size in (1, 2, 5):
        probs, got = predictor.predict(images[:size]).values()
        assert np.allclose(got, logits[:size].numpy(), atol=1e-4)
        assert np.allclose(probs, (logits[:size] / 1.7).softmax(dim=1).numpy(), atol=1e-5)


@pytest.mark.slow
def test_the_file_carries_the_contract_and_nothing_of_this_machine(exported: Path, checkpoint_path: Path) -> None:
    model = onnx.load(str(exported / "model.onnx"))
    trained = Checkpoint.load(checkpoint_path).contract
    contract = ClassificationContract.model_validate({**trained.model_dump(), "filters": FILTERS})
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert parse_contract(metadata[CONTRACT_KEY], "metadata") == contract
    assert read_contract(exported / "contract.json") == contract
    assert b"site-packages" not in (exported / "model.onnx").read_bytes()
    assert not [node.name for node in model.graph.node if node.metadata_props or node.doc_string]
    assert not [p for p in exported.iterdir() if p.suffix in (".data", ".tmp")]


@pytest.mark.slow
def test_the_filters_of_the_params_file_stand_in_the_contract_that_is_served(exported: Path) -> None:
    filters = Predictor.load(exported).contract.filters
    assert [step.model_dump() for step in filters] == FILTERS


def test_a_filter_that_no_contract_may_have_is_named(
    checkpoint_path: Path, tiny_tiles_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {**PARAMS, "contract": {**PARAMS["contract"], "filters": [{"kind": "abstain", "above": 0.7}]}}
    assert _export(checkpoint_path, tiny_tiles_dir, tmp_path, wrong) == 2
    assert "contract.filters.0" in capsys.readouterr().err
    twice = {**PARAMS, "contract": {**PARAMS["contract"], "filters": [FILTERS[0], FILTERS[0]]}}
    assert _export(checkpoint_path, tiny_tiles_dir, tmp_path, twice) == 2
    assert "one 'abstain'" in capsys.readouterr().err


@pytest.mark.slow
def test_failing_parity_stops_the_pipeline_and_leaves_no_model(
    checkpoint_path: Path, tiny_tiles_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = {**PARAMS, "export": {**PARAMS["export"], "max_probability_difference": 1e-12}}
    assert _export(checkpoint_path, tiny_tiles_dir, tmp_path, strict) == 2
    assert "the ONNX graph differs from the network" in capsys.readouterr().err
    assert not (tmp_path / "model.onnx").exists()
    assert json.loads((tmp_path / "parity.json").read_text())["limit"] == 1e-12


def test_a_missing_checkpoint_is_one_clear_line(
    tiny_tiles_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _export(tmp_path / "none.pt", tiny_tiles_dir, tmp_path, PARAMS) == 2
    assert "run `make train`" in capsys.readouterr().err


def test_a_failed_export_leaves_an_earlier_model(tmp_path: Path) -> None:
    class Broken(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("cannot be traced")

    contract = ClassificationContract(classes=("a", "b"), height=8, width=8, mean=(0, 0, 0), std=(1, 1, 1))
    (tmp_path / "model.onnx").write_bytes(b"earlier")
    model = ServedModel(Classifier(Broken(), contract.mean, contract.std), 1.0)
    with pytest.raises(Exception, match="cannot be traced"):
        write_onnx(model, contract, tmp_path / "model.onnx", 18)
    assert (tmp_path / "model.onnx").read_bytes() == b"earlier"
