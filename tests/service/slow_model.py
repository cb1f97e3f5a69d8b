"""A tiny model that answers rightly but takes its time: for what happens while others wait."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtime.contract import LOGITS, ONNX_FILE
from tests.bento_project import Project
from tests.onnx_fixture import card_text, tiny_contract, tiny_graph, write_sources

# A matrix that fits a core's own cache: other processes may take its time, but not its memory bandwidth as well.
_WIDTH = 256
_NUM_PRODUCTS = 30_000  # about 0.1 s on one core


def slow_graph() -> onnx.ModelProto:
    """`tiny_graph` with many products by a matrix of zeros whose result, zero, is added to the logits."""
    model = tiny_graph(tiny_contract())
    graph = model.graph
    arrays = {
        "num_products": np.array(_NUM_PRODUCTS, np.int64),
        "widen": np.zeros((3, _WIDTH), np.float32),
        "narrow": np.zeros((_WIDTH, 3), np.float32),
    }
    graph.initializer.extend([numpy_helper.from_array(array, name) for name, array in arrays.items()])
    matmul = next(node for node in graph.node if node.op_type == "MatMul")
    matmul.output[0] = "fast_logits"
    nodes = [
        helper.make_node("MatMul", ["mean", "widen"], ["wide"]),
        helper.make_node("Loop", ["num_products", "", "wide"], ["still_wide"], body=_product()),
        helper.make_node("MatMul", ["still_wide", "narrow"], ["nothing"]),
        helper.make_node("Add", ["fast_logits", "nothing"], [LOGITS]),
    ]
    softmax = graph.node.pop()
    graph.node.extend([*nodes, softmax])
    onnx.checker.check_model(model)
    return model


def _product() -> onnx.GraphProto:
    """One turn of the loop."""
    square = numpy_helper.from_array(np.zeros((_WIDTH, _WIDTH), np.float32), "square")
    nodes = [
        helper.make_node("Identity", ["goes_on"], ["still_goes_on"]),
        helper.make_node("MatMul", ["before", "square"], ["after"]),
    ]

    def value(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [
        value("turn", TensorProto.INT64, []),
        value("goes_on", TensorProto.BOOL, []),
        value("before", TensorProto.FLOAT, ["n", _WIDTH]),
    ]
    outputs = [value("still_goes_on", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, ["n", _WIDTH])]
    return helper.make_graph(nodes, "product", inputs, outputs, [square])


def register_slow_model(project: Project) -> None:
    sources = write_sources(project.folder / "artifacts")
    onnx.save(slow_graph(), sources.export_dir / ONNX_FILE)
    sources.card.write_text(card_text(sources.export_dir / ONNX_FILE))
    project.register_sources(sources)
