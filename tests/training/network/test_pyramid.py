"""The network that outlines regions: what its readout sees, which backbones fit, and that a checkpoint rebuilds it."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch

from export.graph import ServedModel, write_onnx
from runtime.model.contract import IMAGES, ClassificationContract, Lineage, SegmentationContract
from training.network.backbones import BackboneError
from training.network.classifier import Classifier, load_classifier
from training.network.pyramid import FLOOR, PyramidNetwork, mask_network, pyramid_levels, region_numbers

BACKBONE = "test_resnet"
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


def _classifier(coarsest_stride: int = 16) -> Classifier:
    torch.manual_seed(0)
    backbone = timm.create_model(BACKBONE)
    network = mask_network(backbone, pyramid_levels(backbone, coarsest_stride), 8, num_regions=2, num_classes=3)
    return Classifier(network, MEAN, STD).eval()


def _images(num: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (num, 64, 96, 3), dtype=np.uint8))


def test_numbers_of_a_defect_are_its_highest_its_top_and_its_mean_probability() -> None:
    # 20 x 20 cells, so that the top half percent are two cells. Defect 1 is certain in one cell, even odds in the next.
    logits = torch.zeros(1, 3, 20, 20)
    logits[:, 1:] = -40.0
    logits[0, 1, 3, 4], logits[0, 1, 3, 5] = 40.0, 0.0
    expected = [1.0, 0.75, 1.5 / 400, 0.0, 0.0, 0.0]
    assert region_numbers(logits)[0].exp().tolist() == pytest.approx([value + FLOOR for value in expected], rel=1e-4)


def test_pixel_scores_lie_at_stride_four_whatever_the_coarsest_stride() -> None:
    for stride in (4, 16, 32):
        classifier = _classifier(stride)
        network = classifier.backbone
        assert isinstance(network, PyramidNetwork)
        assert network.cell_outputs(classifier.normalise(_images(2))).shape == (2, 3, 16, 24)
        assert classifier(_images(2)).shape == (2, 3)


def test_coarse_levels_reach_every_cell() -> None:
    """Without the top-down path a cell would see its near neighbourhood only."""
    images = _images(1).clone()
    classifier = _classifier(32)
    network = classifier.backbone
    assert isinstance(network, PyramidNetwork)
    before = network.cell_outputs(classifier.normalise(images))
    images[:, 48:, 80:] = 0
    after = network.cell_outputs(classifier.normalise(images))
    assert (before - after).abs()[0, :, 0, 0].max() > 1e-6


def test_a_backbone_without_a_pyramid_is_refused_with_its_strides() -> None:
    with pytest.raises(BackboneError, match=r"strides 4, 8, .* has \[16, 16.*choose another model\.backbone"):
        pyramid_levels(timm.create_model("test_vit"), 32)


def test_state_dict_alone_rebuilds_the_network() -> None:
    classes = ("a", "b", "c")
    contract = SegmentationContract(
        classes=classes, regions=("b", "c"), height=64, width=96, mean=MEAN, std=STD, lineage=Lineage(backbone=BACKBONE)
    )
    for stride in (8, 32):
        classifier = _classifier(stride)
        rebuilt = load_classifier(contract, classifier.state_dict())
        torch.testing.assert_close(rebuilt(_images(2)), classifier(_images(2)))


def test_everything_but_the_backbone_counts_as_head() -> None:
    classifier = _classifier()
    head = {id(parameter) for parameter in classifier.head_parameters()}
    names = {name for name, parameter in classifier.named_parameters() if id(parameter) not in head}
    assert names
    assert all(name.startswith("backbone.pyramid.") for name in names)


@pytest.mark.slow
def test_the_exported_graph_answers_as_the_network(tmp_path: Path) -> None:
    classifier = _classifier()
    contract = ClassificationContract(
        classes=("a", "b", "c"), height=64, width=96, mean=MEAN, std=STD, temperature=1.3,
        lineage=Lineage(backbone=BACKBONE),
    )  # fmt: skip
    served = ServedModel(classifier, contract.temperature).eval()
    write_onnx(served, contract, tmp_path / "model.onnx", opset=18)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for num in (1, 3):
        with torch.inference_mode():
            expected = [output.numpy() for output in served(_images(num))]
        found = session.run(None, {IMAGES: _images(num).numpy()})
        for ours, theirs in zip(expected, found, strict=True):
            np.testing.assert_allclose(theirs, ours, atol=1e-4)
