"""A checkpoint as an ONNX graph that needs nothing but pixels: uint8 NHWC in, and out what the contract names."""

import logging
import warnings
from pathlib import Path
from typing import cast

import onnx
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from project.write_whole import whole_file
from runtime.model.contract import CONTRACT_KEY, IMAGES, ModelContract
from training.network.centre_points import CentreNetwork, candidates
from training.network.classifier import Classifier
from training.network.pyramid import MaskNetwork


class ServedModel(nn.Module):
    """The classifier with what serving adds: temperature and softmax."""

    def __init__(self, classifier: Classifier, temperature: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature = temperature

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """images: `(n, height, width, 3)` uint8. Returns probabilities and logits, each `(n, classes)` float32."""
        logits = self.classifier(images)
        return torch.softmax(logits / self.temperature, dim=1), logits


class ServedSegmenter(ServedModel):
    """A `MaskNetwork` inside a `Classifier` with what serving adds: the picture's class, and its pixels at full size.

    It answers as `region_outputs` does, in steps that ONNX Runtime computes fast on a CPU: its softmax and argmax over
    channels transpose the maps, which took a third of the whole network's time.
    """

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return probabilities and logits as `ServedModel` does, then region_map and foreground.

        images: `(n, height, width, 3)` uint8. region_map: `(n, height, width)` uint8, 1 to the number of regions.
        foreground: `(n, height, width)` float32, one minus the probability of background.
        """
        network = cast(MaskNetwork, self.classifier.backbone)
        pixels = network.pixel_logits(self.classifier.normalise(images))
        logits = network.class_logits(pixels)
        at_full_size = F.interpolate(pixels, size=images.shape[1:3], mode="bilinear", align_corners=False)
        return torch.softmax(logits / self.temperature, dim=1), logits, *_pixel_answers(at_full_size)


class ServedDetector(ServedModel):
    """A `CentreNetwork` inside a `Classifier` with what serving adds: the picture's class, and its best candidates."""

    def __init__(self, classifier: Classifier, temperature: float, max_boxes: int) -> None:
        super().__init__(classifier, temperature)
        self.max_boxes = max_boxes

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return probabilities and logits as `ServedModel` does, then boxes, scores and objects as `candidates` does.

        images: `(n, height, width, 3)` uint8. Each picture's candidates are its own, whatever else is in the batch.
        """
        network = cast(CentreNetwork, self.classifier.backbone)
        cells = network.cell_outputs(self.classifier.normalise(images))
        logits = network.class_logits(cells)
        found = candidates(cells, self.max_boxes, (images.shape[1], images.shape[2]))
        return torch.softmax(logits / self.temperature, dim=1), logits, *found


def _pixel_answers(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """logits: `(n, 1 + regions, height, width)`, background first. Returns region_map and foreground."""
    background, *regions = logits.unbind(dim=1)
    highest, region_map = regions[0], torch.ones_like(background, dtype=torch.uint8)
    odds = torch.exp(regions[0] - background)  # of any region against background
    for value, region in enumerate(regions[1:], start=2):
        region_map = torch.where(region > highest, torch.tensor(value, dtype=torch.uint8), region_map)
        highest = torch.maximum(region, highest)
        odds = odds + torch.exp(region - background)
    return region_map, 1 - 1 / (1 + odds)  # and not odds / (1 + odds): they may be infinite


def served_model(classifier: Classifier, contract: ModelContract) -> ServedModel:
    """Return a trained network as its contract's task serves it."""
    if contract.task == "detection":
        return ServedDetector(classifier, contract.temperature, contract.max_boxes).eval()
    kind = ServedSegmenter if contract.task == "segmentation" else ServedModel
    return kind(classifier, contract.temperature).eval()


def write_onnx(model: ServedModel, contract: ModelContract, path: Path, opset: int) -> None:
    """Write the graph with a dynamic batch and the contract in its metadata, whole or not at all."""
    # Two pictures, since a batch of one would be taken for a constant.
    example = torch.zeros(2, contract.height, contract.width, 3, dtype=torch.uint8)
    with whole_file(path) as temporary:
        _export(model, example, temporary, list(contract.outputs), opset)
        proto = onnx.load(str(temporary))
        onnx.helper.set_model_props(proto, {CONTRACT_KEY: contract.to_json()})
        for node in proto.graph.node:
            del node.metadata_props[:]  # the exporter notes file names and stack traces of this machine there
            node.doc_string = ""
        onnx.checker.check_model(proto, full_check=True)
        onnx.save(proto, str(temporary))


def _export(model: ServedModel, example: torch.Tensor, path: Path, outputs: list[str], opset: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        for name in ("torch.onnx", "onnxscript", "onnx_ir"):  # they report every folded constant
            logging.getLogger(name).setLevel(logging.ERROR)
        torch.onnx.export(
            model.eval(),
            (example,),
            str(path),
            dynamo=True,
            external_data=False,
            opset_version=opset,
            input_names=[IMAGES],
            output_names=outputs,
            dynamic_shapes={IMAGES: {0: torch.export.Dim("batch")}},
            verbose=False,
        )
