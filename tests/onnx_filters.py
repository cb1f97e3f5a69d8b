"""Tiny ONNX models for filters that look at pixels: a classifier of red pictures, and a detector of green faces."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GREEN = (0, 255, 0)
FACE_PX = 24  # each face that is found is as wide and as tall
_node = helper.make_node


def write_red_classifier(path: Path, side: int = 32, is_nhwc: bool = True, gain: float = 1.0) -> str:
    """Write a graph that answers (1 - p, p), p the first channel's mean times `gain`; return the file's SHA-256."""
    shape: list[str | int] = ["batch", side, side, 3] if is_nhwc else ["batch", 3, side, side]
    nodes = [
        _node("Gather", ["picture", "first"], ["red"], axis=3 if is_nhwc else 1),
        _node("ReduceMean", ["red", "sides"], ["mean"], keepdims=0),
        _node("Mul", ["mean", "gain"], ["p"]),
        _node("Sub", ["one", "p"], ["not_p"]),
        _node("Unsqueeze", ["p", "last"], ["p_column"]),
        _node("Unsqueeze", ["not_p", "last"], ["not_p_column"]),
        _node("Concat", ["not_p_column", "p_column"], ["probabilities"], axis=1),
    ]
    constants = {
        "first": np.array(0, np.int64), "sides": np.array([1, 2], np.int64), "one": np.array(1, np.float32),
        "last": np.array([1], np.int64), "gain": np.array(gain, np.float32),
    }  # fmt: skip
    return _write(path, nodes, constants, shape, {"probabilities": ["batch", 2]})


def write_face_detector(path: Path, size: tuple[int, int] | None = None) -> str:
    """Write a graph with CenterFace's outputs that is the surer of a face the greener 4 x 4 pixels are.

    size: (height, width) that is baked in. Returns the file's SHA-256.
    """
    height, width = size or ("height", "width")
    small: list[str | int] = ["batch", 1, *(side // 4 for side in size)] if size else ["batch", 1, "h", "w"]
    nodes = [
        _node("AveragePool", ["picture"], ["means"], kernel_shape=[4, 4], strides=[4, 4]),
        _node("Div", ["means", "white"], ["shares"]),
        _node("Split", ["shares"], ["red", "green", "blue"], axis=1, num_outputs=3),
        _node("Sub", ["one", "blue"], ["not_blue"]),
        _node("Sub", ["one", "red"], ["not_red"]),
        _node("Mul", ["not_red", "green"], ["both"]),
        _node("Mul", ["both", "not_blue"], ["scores"]),
        _node("Concat", ["scores", "scores"], ["two"], axis=1),
        _node("Mul", ["two", "zero"], ["offsets"]),
        _node("Add", ["offsets", "log_size"], ["sizes"]),
    ]
    constants = {
        "white": np.array(255, np.float32), "one": np.array(1, np.float32), "zero": np.array(0, np.float32),
        "log_size": np.array(np.log(FACE_PX / 4), np.float32),
    }  # fmt: skip
    pairs: list[str | int] = [small[0], 2, *small[2:]]
    outputs = {"scores": small, "sizes": pairs, "offsets": pairs}
    return _write(path, nodes, constants, [small[0], 3, height, width], outputs)


def _write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, object],
    shape: Sequence[str | int],
    outputs: Mapping[str, Sequence[str | int]],
) -> str:
    graph = helper.make_graph(
        nodes,
        "filter",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return sha256(path.read_bytes()).hexdigest()
