"""The network that finds objects: what its peaks, boxes and readout are, and that a checkpoint rebuilds it."""

import math

import pytest
import timm
import torch

from runtime.model.contract import DetectionContract, Lineage, SegmentationContract
from training.network.backbones import BackboneError
from training.network.centre_points import boxes_of_cells, candidates, centre_network, object_numbers, peaks
from training.network.classifier import Classifier, load_classifier
from training.network.pyramid import FLOOR, PyramidNetwork, pyramid_levels

BACKBONE = "test_resnet"
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
LOW = -20.0


def _classifier(coarsest_stride: int = 16) -> Classifier:
    torch.manual_seed(0)
    backbone = timm.create_model(BACKBONE)
    network = centre_network(backbone, pyramid_levels(backbone, coarsest_stride), 8, num_objects=2, num_classes=3)
    return Classifier(network, MEAN, STD).eval()


def _cells(*points: tuple[int, int, int, float]) -> torch.Tensor:
    """Outputs of two objects on 6 x 8 cells. points: (object, row, column, logit). Distances are 1, 2, 3, 4 cells."""
    cells = torch.full((1, 6, 6, 8), LOW)
    for number, row, column, logit in points:
        cells[0, number, row, column] = logit
    cells[0, 2:] = torch.tensor([1.0, 2.0, 3.0, 4.0]).log().view(4, 1, 1)
    return cells


def test_a_box_lies_around_the_middle_of_its_cell() -> None:
    boxes = boxes_of_cells(_cells()[:, 2:])
    assert boxes[0, :, 2, 5].tolist() == pytest.approx([22 - 4, 10 - 8, 22 + 12, 10 + 16])


def test_only_cells_that_no_neighbour_exceeds_are_peaks_even_where_all_are_sure() -> None:
    heat = _cells((0, 1, 1, 50.0), (0, 1, 2, 60.0), (0, 4, 6, -1.0), (1, 1, 1, 0.0))[:, :2]
    found = peaks(heat)
    assert torch.nonzero(found > 1e-6).tolist() == [[0, 0, 1, 2], [0, 0, 4, 6], [0, 1, 1, 1]]
    assert found[0, 0, 4, 6].item() == pytest.approx(1 / (1 + math.e))


def test_candidates_begin_with_the_best_of_all_objects_and_end_at_the_pictures_edges() -> None:
    cells = _cells((0, 0, 0, -1.0), (1, 5, 7, 2.0), (0, 2, 5, 1.0))
    found = candidates(cells, 3, (23, 30))
    assert found.objects.tolist() == [[1, 0, 0]]
    assert found.objects.dtype == torch.uint8
    assert found.scores[0].tolist() == pytest.approx([1 / (1 + math.exp(-logit)) for logit in (2, 1, -1)])
    assert found.boxes[0].tolist() == [
        pytest.approx([26, 14, 30, 23]), pytest.approx([18, 2, 30, 23]), pytest.approx([0, 0, 14, 18]),
    ]  # fmt: skip


def test_a_distance_is_never_infinite() -> None:
    cells = _cells((0, 2, 2, 3.0))
    cells[0, 2:] = 1000.0
    assert candidates(cells, 1, (24, 32)).boxes.tolist() == [[[0, 0, 32, 24]]]


def test_numbers_of_an_object_are_its_two_highest_peaks_and_its_mean() -> None:
    numbers = object_numbers(_cells((0, 1, 1, 40.0), (0, 1, 2, 39.0), (0, 4, 6, 0.0)))
    assert numbers[0].exp().tolist() == pytest.approx(
        [1 + FLOOR, 0.5 + FLOOR, 2.5 / 48 + FLOOR, FLOOR, FLOOR, FLOOR], rel=1e-4
    )


def test_heat_maps_and_distances_lie_at_stride_four_whatever_the_coarsest_stride() -> None:
    images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    for stride in (4, 16, 32):
        classifier = _classifier(stride)
        network = classifier.backbone
        assert isinstance(network, PyramidNetwork)
        assert network.cell_outputs(classifier.normalise(images)).shape == (2, 6, 16, 24)
        assert classifier(images).shape == (2, 3)


def test_state_dict_alone_rebuilds_the_network_and_another_tasks_is_refused() -> None:
    common = {"classes": ("a", "b", "c"), "height": 64, "width": 96, "mean": MEAN, "std": STD}
    contract = DetectionContract(**common, objects=("b", "c"), lineage=Lineage(backbone=BACKBONE))
    images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    for stride in (8, 32):
        classifier = _classifier(stride)
        torch.testing.assert_close(load_classifier(contract, classifier.state_dict())(images), classifier(images))
    outlines = SegmentationContract(**common, regions=("b", "c"), lineage=contract.lineage)
    with pytest.raises(BackboneError, match="are not those of 'test_resnet' for segmentation: train it again"):
        load_classifier(outlines, _classifier().state_dict())
    plain = Classifier(timm.create_model(BACKBONE), MEAN, STD)
    with pytest.raises(BackboneError, match="the contract of a detection, but not its weights: train it again"):
        load_classifier(contract, plain.state_dict())


def test_everything_but_the_backbone_counts_as_head_and_the_readout_is_fitted() -> None:
    classifier = _classifier()
    head = {id(parameter) for parameter in classifier.head_parameters()}
    names = {name for name, parameter in classifier.named_parameters() if id(parameter) not in head}
    assert names
    assert all(name.startswith("backbone.pyramid.") for name in names)
    fitted = {id(parameter) for parameter in classifier.fitted_parameters()}
    assert {n for n, p in classifier.named_parameters() if id(p) in fitted} == {
        "backbone.readout.weight", "backbone.readout.bias",
    }  # fmt: skip
