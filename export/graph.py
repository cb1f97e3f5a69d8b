"""A checkpoint as an ONNX graph that needs nothing but pixels: uint8 NHWC in, probabilities and logits out."""

import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from project.write_whole import whole_file
from runtime.model.contract import CONTRACT_KEY, IMAGES, ModelContract
from training.network.classifier import Classifier


class ServedModel(nn.Module):
    """The classifier with what serving adds: temperature and softmax."""

    def __init__(self, classifier: Classifier, temperature: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature = temperature

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """images: `(n, height, width, 3)` uint8. Returns probabilities and logits, each `(n, classes)` float32."""
        logits = self.classifier(images)
        return torch.softmax(logits / self.temperature, dim=1), logits


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
