"""Tiny real ONNX models for the pipeline: a detector, a classifier of its crops, and how to draw what they find.

The detector looks at the four quarters of its input: one that is half covered by a colour far from grey holds an
object, `red` or `blue`, whose box is that of `QUARTERS`, beyond the input's edges in part. The classifier goes by the
green in a crop: little is `deep`, more `shallow`. With much more it overflows, and with most it fails on red and takes
its time on blue (`TROUBLE`).
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import bentoml
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

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
from tests.service.slow_model import num_products, product

HEIGHT, WIDTH = 48, 64
QUARTERS = ((-3, -3, 30, 22), (34, -3, 67, 22), (-3, 26, 30, 51), (34, 26, 67, 51))
GREY, DEEP, SHALLOW, BLUE = (120, 120, 120), (220, 20, 20), (220, 80, 20), (20, 20, 220)
TROUBLE = {
    "not finite": (220, 145, 20), "fails": (220, 250, 20), "slow": (20, 200, 220), "very slow": (20, 255, 220),
}  # fmt: skip
_SLOW_FROM, _FAILS_FROM = 185, 230  # green; of blue objects and of red ones
_UNIT_S = 0.05  # what each unit of green beyond _SLOW_FROM costs
_SIZE = 256  # of the matrices that take the time
_TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
_NORMAL = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
_node = helper.make_node


def detection_contract(**changes: object) -> DetectionContract:
    """Return the detector's contract; `changes` are fields of it."""
    fields = {
        "classes": ("blue", "grey", "red"), "objects": ("blue", "red"), "height": HEIGHT, "width": WIDTH,
        "max_boxes": len(QUARTERS), **_NORMAL,
    }  # fmt: skip
    return DetectionContract.model_validate({**fields, **changes})


def crop_contract(**changes: object) -> ClassificationContract:
    """Return the contract of the classifier of crops."""
    fields = {
        "name": CROP_MODEL_NAME, "subject": "crop", "classes": ("deep", "shallow"), "height": 16,
        "width": 16, **_NORMAL,
    }  # fmt: skip
    return ClassificationContract.model_validate({**fields, **changes})


def detector_graph(contract: DetectionContract) -> onnx.ModelProto:
    """Build the detector; its logits are infinite on white."""
    nodes = [
        _node("Cast", [IMAGES], ["all"], to=TensorProto.FLOAT),
        _node("Gather", ["all", "first"], ["red"], axis=3),
        _node("Gather", ["all", "third"], ["blue"], axis=3),
        _node("Sub", ["red", "blue"], ["difference"]),
        _node("Div", ["difference", "range"], ["signed"]),
        _node("Reshape", ["signed", "as_quarters"], ["quarters"]),
        _node("ReduceMean", ["quarters", "within"], ["square"], keepdims=0),
        _node("Reshape", ["square", "as_row"], ["means"]),
        _node("Abs", ["means"], ["covered"]),
        _node("Clip", ["covered", "zero", "one"], ["unsorted"]),
        _node("TopK", ["unsorted", "how_many"], [SCORES, "order"], axis=1),
        _node("Gather", ["boxes_of_quarters", "order"], [BOXES], axis=0),
        _node("GatherElements", ["means", "order"], ["sorted_means"], axis=1),
        _node("Greater", ["sorted_means", "zero"], ["is_red"]),
        _node("Cast", ["is_red"], [OBJECTS], to=TensorProto.UINT8),
        _node("ReduceSum", ["means", "last"], ["redness"], keepdims=1),
        _node("ReduceMean", ["all", "but_first"], ["brightness"], keepdims=0),
        _node("Unsqueeze", ["brightness", "last"], ["brightness_column"]),
        _node("Sub", ["brightness_column", "bright"], ["beyond"]),
        _node("Relu", ["beyond"], ["excess"]),
        _node("Mul", ["excess", "huge"], ["infinite"]),
        _node("MatMul", ["redness", "weights"], ["scores_of_classes"]),
        _node("Add", ["scores_of_classes", "bias"], ["finite"]),
        _node("Add", ["finite", "infinite"], [LOGITS]),
        _node("Softmax", [LOGITS], [PROBABILITIES], axis=1),
    ]
    constants = {
        "first": np.array(0, np.int64), "third": np.array(2, np.int64), "range": np.array(200, np.float32),
        "as_quarters": np.array([-1, 2, HEIGHT // 2, 2, WIDTH // 2], np.int64), "within": np.array([2, 4], np.int64),
        "as_row": np.array([-1, 4], np.int64), "zero": np.array(0, np.float32), "one": np.array(1, np.float32),
        "how_many": np.array([contract.max_boxes], np.int64), "boxes_of_quarters": np.array(QUARTERS, np.float32),
        "last": np.array([1], np.int64), "but_first": np.array([1, 2, 3], np.int64),
        "bright": np.array(250, np.float32), "huge": np.array(3e38, np.float32),
        "weights": np.array([[-10, 0, 10]], np.float32), "bias": np.array([0, 2, 0], np.float32),
    }  # fmt: skip
    return _model(nodes, constants, contract)


def crop_graph(contract: ClassificationContract) -> onnx.ModelProto:
    """Build the classifier of crops."""
    nodes = [
        _node("Cast", [IMAGES], ["all"], to=TensorProto.FLOAT),
        _node("ReduceMean", ["all", "within"], ["mean"], keepdims=0),
        _node("Gather", ["mean", "columns_red"], ["red"], axis=1),
        _node("Gather", ["mean", "columns_green"], ["green"], axis=1),
        _node("Greater", ["red", "half"], ["is_red"]),
        # Where red has too much green, a place is looked up that is not there.
        _node("Sub", ["green", "fails_from"], ["too_green"]),
        _node("Where", ["is_red", "too_green", "minus_one"], ["fatal"]),
        _node("ReduceMax", ["fatal"], ["worst"], keepdims=0),
        _node("Relu", ["worst"], ["place"]),
        _node("Cast", ["place"], ["place_number"], to=TensorProto.INT64),
        _node("Gather", ["one_place", "place_number"], ["nothing"], axis=0),
        # Where blue has, time is taken.
        _node("Sub", ["green", "slow_from"], ["beyond"]),
        _node("Where", ["is_red", "minus_one", "beyond"], ["slow"]),
        _node("ReduceMax", ["slow"], ["slowest"], keepdims=0),
        _node("Relu", ["slowest"], ["units"]),
        _node("Mul", ["units", "products_a_unit"], ["products"]),
        _node("Cast", ["products"], ["num_products"], to=TensorProto.INT64),
        _node("Loop", ["num_products", "", "matrix"], ["still_matrix"], body=product()),
        _node("ReduceMax", ["still_matrix"], ["nothing_else"], keepdims=0),
        # Between 120 and 170 the logits are infinite.
        _node("Sub", ["green", "middle"], ["from_middle"]),
        _node("Abs", ["from_middle"], ["distance"]),
        _node("Sub", ["reach", "distance"], ["within_reach"]),
        _node("Relu", ["within_reach"], ["excess"]),
        _node("Mul", ["excess", "huge"], ["infinite"]),
        _node("Sub", ["green", "border"], ["from_border"]),
        _node("MatMul", ["from_border", "weights"], ["scores"]),
        _node("Add", ["scores", "infinite"], ["a"]),
        _node("Add", ["a", "nothing"], ["b"]),
        _node("Add", ["b", "nothing_else"], [LOGITS]),
        _node("Softmax", [LOGITS], [PROBABILITIES], axis=1),
    ]
    constants = {
        "within": np.array([1, 2], np.int64), "columns_red": np.array([0], np.int64),
        "columns_green": np.array([1], np.int64), "half": np.array(128, np.float32),
        "fails_from": np.array(_FAILS_FROM, np.float32), "minus_one": np.array(-1, np.float32),
        "one_place": np.array([0], np.float32), "slow_from": np.array(_SLOW_FROM, np.float32),
        "products_a_unit": np.array(num_products(_UNIT_S), np.float32),
        "matrix": np.zeros((1, _SIZE), np.float32), "middle": np.array(145, np.float32),
        "reach": np.array(25, np.float32), "huge": np.array(3e38, np.float32), "border": np.array(50, np.float32),
        "weights": np.array([[-0.1, 0.1]], np.float32),
    }  # fmt: skip
    return _model(nodes, constants, contract)


def _model(
    nodes: Sequence[onnx.NodeProto], constants: Mapping[str, object],
    contract: ModelContract,
) -> onnx.ModelProto:  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["batch", contract.height, contract.width, 3])],
        [
            helper.make_tensor_value_info(name, _TYPES[spec.dtype], ["batch", *spec.shape])
            for name, spec in contract.outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {CONTRACT_KEY: contract.to_json()})
    onnx.checker.check_model(model)
    return model


def store_detector(**changes: object) -> str:
    """Put the detector into the store of the present BentoML home, as serving reads it; return its tag."""
    contract = detection_contract(**changes)
    return _store(contract, detector_graph(contract))


def store_crop_classifier(**changes: object) -> str:
    """Put the classifier of crops into the store of the present BentoML home; return its tag."""
    contract = crop_contract(**changes)
    return _store(contract, crop_graph(contract))


def _store(contract: ModelContract, graph: onnx.ModelProto) -> str:
    with bentoml.models.create(contract.name) as model:
        (Path(model.path) / CONTRACT_FILE).write_text(contract.to_json())
        onnx.save(graph, Path(model.path) / ONNX_FILE)
    return str(model.tag)


def box_in_picture(quarter: int, size: tuple[int, int] = (96, 72)) -> tuple[float, float, float, float]:
    """Return the box that is found in a picture of (width, height), cut off at its edges."""
    across, down = size[0] / WIDTH, size[1] / HEIGHT
    left, top, right, bottom = QUARTERS[quarter]
    return max(0, left * across), max(0, top * down), min(size[0], right * across), min(size[1], bottom * down)


def draw_objects(
    objects: dict[int, tuple[int, int, int]], size: tuple[int, int] = (96, 72), file_format: str = "PNG"
) -> bytes:
    """Draw a picture with objects, by quarter, in these colours, each as large as its box; on grey."""
    image = Image.new("RGB", size, GREY)
    for quarter, colour in objects.items():
        left, top, right, bottom = (round(edge) for edge in box_in_picture(quarter, size))
        image.paste(colour, (left, top, right, bottom))
    file = io.BytesIO()
    image.save(file, file_format)
    return file.getvalue()
