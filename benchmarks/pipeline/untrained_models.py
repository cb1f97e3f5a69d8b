"""An untrained detector and classifier of its crops, for what they cost and not for what they say:

    python -m benchmarks.pipeline.untrained_models --objects 6

Puts both into the model store of `BENTOML_HOME` and prints their tags and folders. Convolutions with drawn weights take
the time that such networks take; the detector then finds the same number of objects in every picture, always in the
same places, so that every request has the same work.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import bentoml
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from project.command import command
from runtime.model.contract import (
    BOXES,
    CONTRACT_FILE,
    CONTRACT_KEY,
    IMAGES,
    LOGITS,
    OBJECTS,
    ONNX_FILE,
    PROBABILITIES,
    SCORES,
    ClassificationContract,
    DetectionContract,
    ModelContract,
)
from runtime.model.roles import CROP_MODEL_NAME

DETECTOR_PX, CROP_PX = 256, 96
_WIDTHS = (16, 32, 64, 64, 64, 64)  # channels of convolutions, the first three with stride 2
_STRIDES = (2, 2, 2, 1, 1, 1)
_TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
_NORMAL = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


@dataclass
class _Graph:
    """Nodes and constants so far."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: object, kind: type = np.float32) -> str:
        self.constants[name] = np.asarray(value, kind)
        return name

    def logits(self, num_classes: int) -> str:
        """Add everything from pixels to logits and probabilities: convolutions, their mean, one matrix."""
        draw, channels = np.random.default_rng(0), 3
        self.add("Cast", [IMAGES], "floats", to=TensorProto.FLOAT)
        self.add("Div", ["floats", self.constant("white", 255)], "shares")
        last = self.add("Transpose", ["shares"], "planes", perm=[0, 3, 1, 2])
        for index, (width, stride) in enumerate(zip(_WIDTHS, _STRIDES, strict=True)):
            scale = (2 / (9 * channels)) ** 0.5
            weights = self.constant(f"weights_{index}", draw.normal(0, scale, (width, channels, 3, 3)))
            padding = {"kernel_shape": [3, 3], "strides": [stride, stride], "pads": [1, 1, 1, 1]}
            last = self.add("Conv", [last, weights], f"conv_{index}", **padding)
            last = self.add("Relu", [last], f"relu_{index}")
            channels = width
        self.add("ReduceMean", [last, self.constant("sides", [2, 3], np.int64)], "means", keepdims=0)
        self.constant("readout", draw.normal(0, 0.1, (channels, num_classes)))
        self.add("MatMul", ["means", "readout"], LOGITS)
        self.add("Softmax", [LOGITS], PROBABILITIES, axis=1)
        return LOGITS

    def model(self, contract: ModelContract) -> onnx.ModelProto:
        inputs = [
            helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["batch", contract.height, contract.width, 3])
        ]
        outputs = [
            helper.make_tensor_value_info(name, _TYPES[spec.dtype], ["batch", *spec.shape])
            for name, spec in contract.outputs.items()
        ]
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "untrained", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        helper.set_model_props(model, {CONTRACT_KEY: contract.to_json()})
        onnx.checker.check_model(model)
        return model


def detector_contract(num_objects: int) -> DetectionContract:
    """Return the contract of a detector that finds so many objects."""
    fields = {"classes": ("good", "bad"), "objects": ("thing",), "height": DETECTOR_PX, "width": DETECTOR_PX}
    return DetectionContract.model_validate({**fields, **_NORMAL, "max_boxes": num_objects})


def detector(contract: DetectionContract) -> onnx.ModelProto:
    """Build the detector: boxes in a grid, each as sure as the others."""
    graph, num_objects = _Graph(), contract.max_boxes
    graph.logits(len(contract.classes))
    across = int(np.ceil(num_objects**0.5))
    cell = DETECTOR_PX / across
    places = [(index % across * cell, index // across * cell) for index in range(num_objects)]
    boxes = [[x + 0.1 * cell, y + 0.1 * cell, x + 0.9 * cell, y + 0.9 * cell] for x, y in places]
    graph.add("Shape", [LOGITS], "batch", start=0, end=1)
    values: Mapping[str, tuple[object, type]] = {
        BOXES: ([boxes], np.float32),
        SCORES: ([[0.9] * num_objects], np.float32),
        OBJECTS: ([[0] * num_objects], np.uint8),
    }
    for name, (value, kind) in values.items():
        constant = graph.constant(f"all_{name}", value, kind)
        tail = graph.constant(f"tail_{name}", graph.constants[constant].shape[1:], np.int64)
        graph.add("Concat", ["batch", tail], f"shape_{name}", axis=0)
        graph.add("Expand", [constant, f"shape_{name}"], name)
    return graph.model(contract)


def crop_contract() -> ClassificationContract:
    """Return the contract of the classifier of crops."""
    fields = {"name": CROP_MODEL_NAME, "subject": "crop", "classes": ("deep", "shallow"), "height": CROP_PX}
    return ClassificationContract.model_validate({**fields, **_NORMAL, "width": CROP_PX, "crop_margin": 0.1})


def crop_classifier(contract: ClassificationContract) -> onnx.ModelProto:
    """Build the classifier of crops."""
    graph = _Graph()
    graph.logits(len(contract.classes))
    return graph.model(contract)


def store(contract: ModelContract, graph: onnx.ModelProto) -> str:
    """Put a model into the store of `BENTOML_HOME`, as serving reads it; return its tag."""
    with bentoml.models.create(contract.name) as model:
        (Path(model.path) / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
        onnx.save(graph, Path(model.path) / ONNX_FILE)
    return str(model.tag)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--objects", type=int, default=6, help="found in every picture")


@command(_arguments, known=(OSError,), speaker="benchmark")
def main(args: argparse.Namespace) -> None:
    found, cut = detector_contract(args.objects), crop_contract()
    tags = [store(found, detector(found)), store(cut, crop_classifier(cut))]
    folders = [bentoml.models.get(tag).path for tag in tags]
    sys.stdout.write(json.dumps({"tags": tags, "folders": folders}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
