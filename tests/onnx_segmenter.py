"""A tiny real ONNX segmentation model with a contract: what is red or blue is a region, grey is background.

Of each pixel `foreground` is |red - blue| / 200, at most 1: 1 in the colours of `REGION_COLOURS`, 0 in any grey, half
where half of a pixel is coloured and half grey. So a region begins, at the contract's threshold of 0.5, where half of a
pixel is covered. The picture's class comes from the shares of the picture that are red and blue; 2% decide.
"""

from collections.abc import Sequence
from pathlib import Path

import bentoml
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

from runtime.model.contract import (
    CONTRACT_FILE,
    CONTRACT_KEY,
    FOREGROUND,
    IMAGES,
    LOGITS,
    ONNX_FILE,
    PROBABILITIES,
    REGION_MAP,
    SegmentationContract,
)

REGIONS = ("blue", "red")  # 1 and 2 in `region_map`
SEGMENTER_CLASSES = ("blue", "grey", "red")
GREY = (120, 120, 120)
REGION_COLOURS = {"blue": (20, 20, 220), "red": (220, 20, 20)}
_RANGE = 200.0  # |red - blue| at which a pixel is certain to be of a region
_TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}

Spot = tuple[str, tuple[float, float, float, float]]
"""The name of a region, and left, top, right and bottom of an ellipse in pixels."""


def segmentation_contract(height: int = 48, width: int = 64, **changes: object) -> SegmentationContract:
    """Return the model's contract; `changes` are fields of it, such as `resize` or `min_region_px`."""
    fields = {"classes": SEGMENTER_CLASSES, "regions": REGIONS, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    return SegmentationContract.model_validate({**fields, "height": height, "width": width, **changes})


def segmenter_graph(
    contract: SegmentationContract, scale: float = 50.0, sensitivity: float = 1.0, confused: bool = False
) -> onnx.ModelProto:
    """Build the graph. scale: of the logits. sensitivity: factor of `foreground`. confused: calls blue red."""
    # Scores of blue, grey, red from the shares of blue and red, and grey's own.
    weights = np.array([[0, 0, 1], [0, 0, 1]] if confused else [[1, 0, 0], [0, 0, 1]], np.float32) * np.float32(scale)
    node = helper.make_node
    nodes = [
        node("Gather", [IMAGES, "red_channel"], ["red_u8"], axis=3),
        node("Gather", [IMAGES, "blue_channel"], ["blue_u8"], axis=3),
        node("Cast", ["red_u8"], ["red"], to=TensorProto.FLOAT),
        node("Cast", ["blue_u8"], ["blue"], to=TensorProto.FLOAT),
        node("Sub", ["red", "blue"], ["difference"]),
        node("Abs", ["difference"], ["distance"]),
        node("Mul", ["distance", "factor"], ["unlimited"]),
        node("Clip", ["unlimited", "zero", "one"], [FOREGROUND]),
        node("GreaterOrEqual", ["difference", "zero"], ["is_red"]),
        node("Where", ["is_red", "two_u8", "one_u8"], [REGION_MAP]),
        node("Where", ["is_red", "zero", FOREGROUND], ["blue_part"]),
        node("Where", ["is_red", FOREGROUND, "zero"], ["red_part"]),
        node("ReduceMean", ["blue_part", "axes"], ["blue_share"], keepdims=0),
        node("ReduceMean", ["red_part", "axes"], ["red_share"], keepdims=0),
        node("Unsqueeze", ["blue_share", "minus_one"], ["blue_column"]),
        node("Unsqueeze", ["red_share", "minus_one"], ["red_column"]),
        node("Concat", ["blue_column", "red_column"], ["shares"], axis=1),
        node("MatMul", ["shares", "weights"], ["scores"]),
        node("Add", ["scores", "bias"], [LOGITS]),
        node("Div", [LOGITS, "temperature"], ["calibrated"]),
        node("Softmax", ["calibrated"], [PROBABILITIES], axis=1),
    ]
    constants = {
        "red_channel": np.array(0, np.int64), "blue_channel": np.array(2, np.int64), "weights": weights,
        "bias": np.array([0, scale * 0.02, 0], np.float32), "factor": np.array(sensitivity / _RANGE, np.float32),
        "temperature": np.array(contract.temperature, np.float32), "axes": np.array([1, 2], np.int64),
        "minus_one": np.array([-1], np.int64), "zero": np.array(0, np.float32), "one": np.array(1, np.float32),
        "one_u8": np.array(1, np.uint8), "two_u8": np.array(2, np.uint8),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "segmenter",
        [helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["batch", contract.height, contract.width, 3])],
        [
            helper.make_tensor_value_info(name, _TYPES[spec.dtype], ["batch", *spec.shape])
            for name, spec in contract.outputs.items()
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {CONTRACT_KEY: contract.to_json()})
    onnx.checker.check_model(model, full_check=True)
    return model


def write_segmenter(
    model_dir: Path, contract: SegmentationContract | None = None, scale: float = 50.0, sensitivity: float = 1.0,
    confused: bool = False,
) -> SegmentationContract:  # fmt: skip
    """Write `model.onnx` and `contract.json` that agree."""
    contract = contract or segmentation_contract()
    model_dir.mkdir(parents=True, exist_ok=True)
    (model_dir / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
    onnx.save(segmenter_graph(contract, scale, sensitivity, confused), model_dir / ONNX_FILE)
    return contract


def store_segmenter(contract: SegmentationContract | None = None, scale: float = 50.0) -> str:
    """Put the model into the store of the present BentoML home (`tests/bentoml_home.py`); return its tag.

    It is what serving reads: graph and contract. What registration asks for beside them is not there.
    """
    contract = contract or segmentation_contract()
    with bentoml.models.create(contract.name) as model:
        write_segmenter(Path(model.path), contract, scale)
    return str(model.tag)


def draw_spots(width: int, height: int, spots: Sequence[Spot]) -> Image.Image:
    """Draw ellipses in the colours of regions on grey, at the sides half covered: drawn at 4 times the size."""
    image = Image.new("RGB", (width * 4, height * 4), GREY)
    draw = ImageDraw.Draw(image)
    for name, box in spots:
        left, top, right, bottom = (round(4 * side) for side in box)
        draw.ellipse((left, top, right - 1, bottom - 1), fill=REGION_COLOURS[name])
    return image.resize((width, height), Image.Resampling.BOX)
