"""A real network of segmentation exported for real: its graph answers each pixel as the network does, or none does."""

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
from export.graph import served_model
from runtime.model.contract import Lineage, SegmentationContract, read_contract
from runtime.model.preprocess import read_for_model
from runtime.model.session import Predictor
from tests.onnx_segmenter import segmentation_contract
from training.network.classifier import Classifier, load_classifier
from training.network.pyramid import PyramidNetwork, mask_network, pyramid_levels, region_outputs
from training.run.checkpoint import Checkpoint

pytestmark = pytest.mark.slow

PARAMS = {
    "contract": {"height": 50, "width": 64, "resize": "stretch", "interpolation": "bilinear"},
    "export": {"opset": 18, "max_probability_difference": 0.0001, "batch_sizes": [1, 7]},
}
REGIONS = ("blowhole", "break", "crack", "fray")
TEMPERATURE = 1.7


@pytest.fixture(scope="module")
def checkpoint_path(tiny_tiles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights; each region, and background, is where a channel of its own is high.

    A height of 50 is no multiple of the maps' stride.
    """
    torch.manual_seed(0)
    contract = SegmentationContract(
        classes=Manifest.read(tiny_tiles_dir / "manifest.csv").classes, regions=REGIONS, height=50, width=64,
        mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), temperature=TEMPERATURE, lineage=Lineage(backbone="test_resnet"),
        threshold=0.7,
    )  # fmt: skip
    backbone = timm.create_model("test_resnet", pretrained=False)
    network = mask_network(backbone, pyramid_levels(backbone, 16), 8, len(REGIONS), len(contract.classes))
    with torch.no_grad():
        network.decoder.pixels.weight.copy_(8 * torch.eye(5, 8).view(5, 8, 1, 1))
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.pt"
    Checkpoint(Classifier(network, contract.mean, contract.std).state_dict(), contract, {}, 1, {}).save(path)
    return path


@pytest.fixture(scope="module")
def exported(checkpoint_path: Path, tiny_tiles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    assert _export(checkpoint_path, tiny_tiles_dir, out) == 0
    return out


def _export(checkpoint: Path, data_dir: Path, out: Path, task: str = "segmentation") -> int:
    params_path = out / "params.yaml"
    params_path.write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    files = ["--checkpoint", str(checkpoint), "--manifest", str(data_dir / "manifest.csv"), "--out", str(out)]
    return export.main([*files, "--params", str(params_path), "--task", task])


def test_parity_is_proven_on_every_pixel_of_the_validation_split(exported: Path, tiny_tiles_dir: Path) -> None:
    parity = json.loads((exported / "parity.json").read_text())
    assert parity["num_images"] == len(Manifest.read(tiny_tiles_dir / "manifest.csv").select("val").table)
    assert parity["batch_sizes"] == [1, 7]
    assert 0 < parity["max_probability_difference"] <= 1e-4
    assert 0 < parity["max_foreground_difference"] <= 1e-4
    assert parity["map_agreement"] >= 0.9999
    assert parity["argmax_agreement"] == 1


@pytest.mark.parametrize("size", [1, 5])
def test_the_graph_gives_what_the_network_finds_in_a_picture(
    exported: Path, checkpoint_path: Path, tiny_tiles_dir: Path, size: int
) -> None:
    checkpoint, predictor = Checkpoint.load(checkpoint_path), Predictor.load(exported, device="cpu", threads=1)
    predictor.warm_up()
    table = Manifest.read(tiny_tiles_dir / "manifest.csv").select("test").table
    files = [tiny_tiles_dir / path for path in table["path"].head(size)]
    images = np.stack([read_for_model(file.read_bytes(), predictor.contract) for file in files])
    model = load_classifier(checkpoint.contract, checkpoint.state_dict)
    with torch.inference_mode():
        pixels = torch.from_numpy(images)
        logits = model(pixels)
        network = model.backbone
        assert isinstance(network, PyramidNetwork)
        region_map, foreground = region_outputs(network.cell_outputs(model.normalise(pixels)), (50, 64))
    outputs = predictor.predict(images)
    assert {name: output.dtype.name for name, output in outputs.items()} == {
        "probabilities": "float32", "logits": "float32", "region_map": "uint8", "foreground": "float32",
    }  # fmt: skip
    assert np.allclose(outputs["logits"], logits.numpy(), atol=1e-4)
    assert np.allclose(outputs["probabilities"], (logits / TEMPERATURE).softmax(dim=1).numpy(), atol=1e-5)
    assert np.allclose(outputs["foreground"], foreground.numpy(), atol=1e-5)
    assert (outputs["region_map"] == region_map.numpy()).mean() > 0.999
    final = np.where(outputs["foreground"] >= 0.7, outputs["region_map"], 0)
    assert {0, 1, 3} <= set(np.unique(final))  # a constant map would pass all of the above


def test_a_pixel_that_is_certain_is_no_infinity() -> None:
    """exp(logit) overflows from 89 on, which a network may well exceed on a single bright pixel."""
    torch.manual_seed(0)
    contract = segmentation_contract(32, 32, regions=("spot",), classes=("bad", "good"))
    backbone = timm.create_model("test_resnet", pretrained=False)
    network = mask_network(backbone, pyramid_levels(backbone, 4), 4, 1, 2)
    with torch.no_grad():
        network.decoder.pixels.weight.mul_(1000)
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        outputs = served_model(Classifier(network, contract.mean, contract.std), contract)(images)
    named = {name: output.numpy() for name, output in zip(contract.outputs, outputs, strict=True)}
    contract.check_outputs(named)
    assert [named["foreground"].min(), named["foreground"].max()] == [0, 1]


def _with_other_corners(proto: onnx.ModelProto) -> None:
    """Move every pixel a little, as an upsampling by another convention does."""
    resizes = [node for node in proto.graph.node if node.op_type == "Resize"]
    (mode,) = [a for a in resizes[-1].attribute if a.name == "coordinate_transformation_mode"]
    mode.s = b"align_corners"


def _with_another_region(proto: onnx.ModelProto) -> None:
    """Call the third region the second."""
    constants = {c.name: c for c in proto.graph.initializer}
    wanted = [c for c in constants.values() if c.data_type == onnx.TensorProto.UINT8 and c.raw_data == b"\x03"]
    assert len(wanted) == 1
    wanted[0].raw_data = b"\x02"


@pytest.mark.parametrize("broken", [_with_other_corners, _with_another_region])
def test_a_graph_that_differs_in_its_pixels_is_refused(
    broken: object, exported: Path, checkpoint_path: Path, tiny_tiles_dir: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    proto = onnx.load(str(exported / "model.onnx"))
    broken(proto)  # type: ignore[operator]
    monkeypatch.setattr(export, "write_onnx", lambda model, contract, path, opset: onnx.save(proto, str(path)))
    assert _export(checkpoint_path, tiny_tiles_dir, tmp_path) == 2
    said = capsys.readouterr().err
    assert "same class in 100.00%" in said  # the picture's own answer is as before
    assert "same map in " in said
    assert not (tmp_path / "model.onnx").exists()
    assert json.loads((tmp_path / "parity.json").read_text())["map_agreement"] < 0.9999


def test_the_checkpoint_of_another_task_is_refused(
    checkpoint_path: Path, tiny_tiles_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        _export(checkpoint_path, tiny_tiles_dir, tmp_path, "classification")
    assert "checkpoint.pt is of segmentation: say --task segmentation" in capsys.readouterr().err


def test_parity_of_pixels_is_asked_of_segmentation_and_of_nothing_else(exported: Path) -> None:
    contract, parity = read_contract(exported / "contract.json"), Parity.read(exported / "parity.json")
    parity.check_task(contract)
    without = parity.model_copy(update={"map_agreement": None, "max_foreground_difference": None})
    with pytest.raises(ParityError, match=r"not measured pixel by pixel.*segmentation; run `make export`"):
        without.check_task(contract)
    assert "map_agreement" not in without.to_json()
