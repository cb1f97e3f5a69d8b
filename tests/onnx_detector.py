"""A tiny real ONNX detection model with a contract: it finds blue and red always in the same place.

How surely it finds each is how surely the whole picture is of that colour. The pictures are those of
`tests.onnx_segmenter`; their true boxes are `SPOT`, whatever the spot drawn.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dataset.boxes import AnnotatedBox, write_boxes
from dataset.description import DataDescription
from dataset.manifest import Manifest
from runtime.model.contract import (
    BOXES,
    CONTRACT_KEY,
    IMAGES,
    LOGITS,
    OBJECTS,
    PROBABILITIES,
    SCORES,
    DetectionContract,
)
from tests.onnx_segmenter import REGIONS, SEGMENTER_CLASSES, SpottedData, write_spotted_data

SPOT, BESIDE = (10.0, 8.0, 40.0, 28.0), (16.0, 8.0, 46.0, 28.0)  # the second reaches IoU 24/36
TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
CONTRACT = DetectionContract.model_validate(
    {"classes": SEGMENTER_CLASSES, "objects": REGIONS, "height": 48, "width": 64, "max_boxes": 2}
    | {"mean": (0.5,) * 3, "std": (0.5,) * 3}
)


def write_detector(model_dir: Path, corners: tuple[float, ...]) -> None:
    """Write a graph that finds blue and red always in the same place, as surely as the whole picture is of them."""
    node = helper.make_node
    nodes = [
        node("Cast", [IMAGES], ["colours"], to=TensorProto.FLOAT),
        node("ReduceMean", ["colours", "axes"], ["means"], keepdims=0),
        node("MatMul", ["means", "weights"], ["scores_of_classes"]),
        node("Add", ["scores_of_classes", "bias"], [LOGITS]),
        node("Softmax", [LOGITS], [PROBABILITIES], axis=1),
        node("Gather", [PROBABILITIES, "columns"], ["of_objects"], axis=1),
        node("TopK", ["of_objects", "two"], [SCORES, "order"], axis=1),
        node("Cast", ["order"], [OBJECTS], to=TensorProto.UINT8),
        node("Shape", [IMAGES], ["batch"], start=0, end=1),
        node("Concat", ["batch", "box_shape"], ["shape"], axis=0),
        node("Expand", ["corners", "shape"], [BOXES]),
    ]
    constants = {
        "axes": np.array([1, 2], np.int64), "columns": np.array([0, 2], np.int64), "two": np.array([2], np.int64),
        "weights": np.array([[-1, 0, 1], [0, 0, 0], [1, 0, -1]], np.float32), "bias": np.array([0, 8, 0], np.float32),
        "box_shape": np.array([2, 4], np.int64), "corners": np.array([[corners] * 2], np.float32),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["batch", 48, 64, 3])],
        [
            helper.make_tensor_value_info(name, TYPES[spec.dtype], ["batch", *spec.shape])
            for name, spec in CONTRACT.outputs.items()
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {CONTRACT_KEY: CONTRACT.to_json()})
    onnx.checker.check_model(model, full_check=True)
    model_dir.mkdir(parents=True)
    (model_dir / "contract.json").write_text(CONTRACT.to_json(), encoding="utf-8")
    onnx.save(model, model_dir / "model.onnx")


def write_data(data_dir: Path, data: SpottedData) -> Manifest:
    """Write pictures of one spot, whose true box is the same in each."""
    manifest = write_spotted_data(data_dir, data)
    description = DataDescription.read(data_dir)
    description.model_copy(update={"objects": REGIONS}).write(data_dir)
    rows = zip(manifest.table["path"], manifest.table["label"], strict=True)
    write_boxes(data_dir, [(path, AnnotatedBox(label, SPOT)) for path, label in rows if label in REGIONS])
    return manifest
