"""A tiny model that answers rightly but takes its time: for what happens while others wait."""

import time
from functools import cache

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from runtime.model.contract import LOGITS, ONNX_FILE
from tests.bento_project import Project
from tests.onnx_fixture import card_text, tiny_contract, tiny_graph, write_sources

# A matrix that fits a core's own cache: other processes may take its time, but not its memory bandwidth as well.
_WIDTH = 256
_PROBE_PRODUCTS, _NUM_PROBES = 1000, 20  # short, so that one of them runs without another process in between
IMAGE_S = 0.1  # on one core of this machine, whatever its speed; more where others take part of it


def slow_graph(num_products: int) -> onnx.ModelProto:
    """`tiny_graph` with products by a matrix of zeros whose result, zero, is added to the logits."""
    model = tiny_graph(tiny_contract())
    graph = model.graph
    arrays = {
        "num_products": np.array(num_products, np.int64),
        "widen": np.zeros((3, _WIDTH), np.float32),
        "narrow": np.zeros((_WIDTH, 3), np.float32),
    }
    graph.initializer.extend([numpy_helper.from_array(array, name) for name, array in arrays.items()])
    matmul = next(node for node in graph.node if node.op_type == "MatMul")
    matmul.output[0] = "fast_logits"
    nodes = [
        helper.make_node("MatMul", ["mean", "widen"], ["wide"]),
        helper.make_node("Loop", ["num_products", "", "wide"], ["still_wide"], body=product()),
        helper.make_node("MatMul", ["still_wide", "narrow"], ["nothing"]),
        helper.make_node("Add", ["fast_logits", "nothing"], [LOGITS]),
    ]
    softmax = graph.node.pop()
    graph.node.extend([*nodes, softmax])
    onnx.checker.check_model(model)
    return model


def product() -> onnx.GraphProto:
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


def num_products(seconds: float) -> int:
    """Return so many that they take `seconds` here."""
    return round(_products_a_second() * seconds)


@cache
def _products_a_second() -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = slow_graph(_PROBE_PRODUCTS).SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    contract = tiny_contract()
    image = np.zeros((1, contract.height, contract.width, 3), np.uint8)
    times_s = []
    for _ in range(_NUM_PROBES):
        begin_s = time.perf_counter()
        session.run(None, {session.get_inputs()[0].name: image})
        times_s.append(time.perf_counter() - begin_s)
    return _PROBE_PRODUCTS / min(times_s)


def register_slow_model(project: Project) -> None:
    """Register a model that takes IMAGE_S an image."""
    sources = write_sources(project.folder / "artifacts")
    onnx.save(slow_graph(num_products(IMAGE_S)), sources.export_dir / ONNX_FILE)
    sources.card.write_text(card_text(sources.export_dir / ONNX_FILE))
    project.register_sources(sources)
