"""A real network of detection exported for real: its graph finds the boxes that the network finds."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch
import yaml

from dataset.manifest import Manifest
from evaluation.statistics.parity import Parity, ParityError
from export import export
from runtime.model.contract import DetectionContract, Lineage, Outputs, read_contract
from runtime.model.preprocess import read_for_model
from runtime.model.session import Predictor
from training.network.centre_points import CentreNetwork, candidates
from training.network.classifier import Classifier, load_classifier
from training.network.pyramid import pyramid_levels
from training.run.checkpoint import Checkpoint

pytestmark = pytest.mark.slow

PARAMS = {
    "contract": {"height": 50, "width": 64, "resize": "stretch", "interpolation": "bilinear"},
    "export": {"opset": 18, "max_probability_difference": 0.0001, "batch_sizes": [1, 7]},
}
OBJECTS = ("crack", "fray")
TEMPERATURE = 1.7
MAX_BOXES = 10


@pytest.fixture(scope="module")
def checkpoint_path(tiny_tiles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights, scaled so that scores spread. A height of 50 is no multiple of the stride."""
    torch.manual_seed(0)
    contract = DetectionContract(
        classes=Manifest.read(tiny_tiles_dir / "manifest.csv").classes, objects=OBJECTS, height=50, width=64,
        mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), temperature=TEMPERATURE, lineage=Lineage(backbone="test_resnet"),
        max_boxes=MAX_BOXES, threshold=0.3,
    )  # fmt: skip
    backbone = timm.create_model("test_resnet", pretrained=False)
    network = CentreNetwork(backbone, pyramid_levels(backbone, 16), 8, len(OBJECTS), len(contract.classes))
    with torch.no_grad():
        network.decoder.pixels.weight.mul_(5)
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.pt"
    Checkpoint(Classifier(network, contract.mean, contract.std).state_dict(), contract, {}, 1, {}).save(path)
    return path


@pytest.fixture(scope="module")
def exported(checkpoint_path: Path, tiny_tiles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    assert _export(checkpoint_path, tiny_tiles_dir, out) == 0
    return out


def _export(checkpoint: Path, data_dir: Path, out: Path) -> int:
    params_path = out / "params.yaml"
    params_path.write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    files = ["--checkpoint", str(checkpoint), "--manifest", str(data_dir / "manifest.csv"), "--out", str(out)]
    return export.main([*files, "--params", str(params_path), "--task", "detection"])


def _images(data_dir: Path, contract: DetectionContract, size: int) -> np.ndarray:
    table = Manifest.read(data_dir / "manifest.csv").select("test").table
    files = [data_dir / path for path in table["path"].head(size)]
    return np.stack([read_for_model(file.read_bytes(), contract) for file in files])


def test_parity_is_proven_on_every_candidate_of_the_validation_split(exported: Path, tiny_tiles_dir: Path) -> None:
    parity = json.loads((exported / "parity.json").read_text())
    num = len(Manifest.read(tiny_tiles_dir / "manifest.csv").select("val").table)
    assert parity["num_images"] == num
    assert parity["batch_sizes"] == [1, 7]
    assert parity["num_boxes"] > 10 * num  # both ways, at both sizes
    assert 0 < parity["max_box_difference"] <= 0.05
    assert 0 < parity["max_score_difference"] <= 1e-4
    assert parity["box_agreement"] >= 0.999
    assert parity["argmax_agreement"] == 1


def test_the_graph_gives_what_the_network_finds_in_a_picture_whatever_the_batch(
    exported: Path, checkpoint_path: Path, tiny_tiles_dir: Path
) -> None:
    checkpoint, predictor = Checkpoint.load(checkpoint_path), Predictor.load(exported, device="cpu", threads=1)
    predictor.warm_up()
    contract = predictor.contract
    assert isinstance(contract, DetectionContract)
    images = _images(tiny_tiles_dir, contract, 8)
    model = load_classifier(checkpoint.contract, checkpoint.state_dict)
    network = model.backbone
    assert isinstance(network, CentreNetwork)
    with torch.inference_mode():
        pixels = torch.from_numpy(images)
        logits = model(pixels)
        boxes, scores, objects = candidates(network.cell_outputs(model.normalise(pixels)), MAX_BOXES, (50, 64))
    outputs = predictor.predict(images)
    assert {name: output.dtype.name for name, output in outputs.items()} == {
        "probabilities": "float32", "logits": "float32", "boxes": "float32", "scores": "float32", "objects": "uint8",
    }  # fmt: skip
    assert np.allclose(outputs["probabilities"], (logits / TEMPERATURE).softmax(dim=1).numpy(), atol=1e-5)
    assert np.allclose(outputs["scores"], scores.numpy(), atol=1e-5)
    assert np.allclose(outputs["boxes"], boxes.numpy(), atol=1e-2)
    assert np.array_equal(outputs["objects"], objects.numpy())
    assert set(np.unique(outputs["objects"])) == {0, 1}  # a constant would pass all of the above
    assert np.ptp(outputs["boxes"][..., 0]) > 20
    alone = [predictor.predict(image[None]) for image in images]
    for name in ("boxes", "scores", "objects"):
        np.testing.assert_allclose(np.concatenate([one[name] for one in alone]), outputs[name], atol=1e-3)


def _moved(outputs: Outputs) -> None:
    outputs["boxes"] = outputs["boxes"] + np.float32(0.1)


def _renamed(outputs: Outputs) -> None:
    outputs["objects"] = 1 - outputs["objects"]


def _surer(outputs: Outputs) -> None:
    outputs["scores"] = outputs["scores"] + np.float32(0.001)


@pytest.mark.parametrize("broken", [_moved, _renamed, _surer])
def test_a_graph_that_differs_in_its_boxes_is_refused(
    broken: object, checkpoint_path: Path, tiny_tiles_dir: Path, tmp_path: Path, exported: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    predict = Predictor.predict

    def predicted(self: Predictor, images: np.ndarray) -> Outputs:
        outputs = predict(self, images)
        broken(outputs)  # type: ignore[operator]
        return outputs

    proto = onnx.load(str(exported / "model.onnx"))
    monkeypatch.setattr(export, "write_onnx", lambda model, contract, path, opset: onnx.save(proto, str(path)))
    monkeypatch.setattr(Predictor, "predict", predicted)
    assert _export(checkpoint_path, tiny_tiles_dir, tmp_path) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "same class in 100.00%" in said  # the picture's own answer is as before
    assert "same box, within 0.05 pixels and with a score within that limit, in 0.000% of" in said
    assert not (tmp_path / "model.onnx").exists()
    assert json.loads((tmp_path / "parity.json").read_text())["box_agreement"] == 0


def test_parity_of_boxes_is_asked_of_detection_and_of_nothing_else(exported: Path) -> None:
    contract, parity = read_contract(exported / "contract.json"), Parity.read(exported / "parity.json")
    parity.check_task(contract)
    without = parity.model_copy(update={"num_boxes": None, "box_agreement": None})
    with pytest.raises(ParityError, match=r"not measured box by box.*detection; run `make export`"):
        without.check_task(contract)
