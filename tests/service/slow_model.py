"""A tiny model that answers rightly but takes its time: for what happens while others wait."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from runtime.contract import LOGITS, ONNX_FILE
from tests.bento_project import Project
from tests.onnx_fixture import card_text, tiny_contract, tiny_graph, write_sources

_WIDTH = 1024
_NUM_PRODUCTS = 4000  # of 1 MFLOP an image each: 0.1 to 0.2 s on one core


def slow_graph() -> onnx.ModelProto:
    """`tiny_graph` with many products of matrices of zeros whose sum, zero, is added to the logits."""
    model = tiny_graph(tiny_contract())
    graph = model.graph
    zeros = numpy_helper.from_array(np.zeros(1, np.float32), "zero_value")
    graph.initializer.extend(
        [numpy_helper.from_array(np.array(shape, np.int64), name) for name, shape in SHAPES.items()]
    )
    matmul = next(node for node in graph.node if node.op_type == "MatMul")
    matmul.output[0] = "fast_logits"
    nodes = [helper.make_node("ConstantOfShape", [name], [f"{name}_zeros"], value=zeros) for name in SHAPES]
    nodes.append(helper.make_node("MatMul", ["mean", "widen_zeros"], ["wide0"]))
    for i in range(_NUM_PRODUCTS):
        nodes.append(helper.make_node("MatMul", [f"wide{i}", "square_zeros"], [f"wide{i + 1}"]))
    nodes.append(helper.make_node("MatMul", [f"wide{_NUM_PRODUCTS}", "narrow_zeros"], ["nothing"]))
    nodes.append(helper.make_node("Add", ["fast_logits", "nothing"], [LOGITS]))
    softmax = graph.node.pop()
    graph.node.extend([*nodes, softmax])
    onnx.checker.check_model(model)
    return model


SHAPES = {"widen": (3, _WIDTH), "square": (_WIDTH, _WIDTH), "narrow": (_WIDTH, 3)}


def register_slow_model(project: Project) -> None:
    sources = write_sources(project.folder / "artifacts")
    onnx.save(slow_graph(), sources.export_dir / ONNX_FILE)
    sources.card.write_text(card_text(sources.export_dir / ONNX_FILE))
    done = project.run("export.register", "--checkpoint", str(sources.checkpoint))
    assert done.returncode == 0, done.stderr
