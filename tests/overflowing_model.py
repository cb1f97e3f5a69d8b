"""The tiny model with a step that overflows on white pictures, as half-precision and 8-bit graphs may."""

from pathlib import Path

import onnx
from onnx import helper

from runtime.model.contract import CONTRACT_FILE, LOGITS, ONNX_FILE, ModelContract
from tests.bento_project import Project
from tests.onnx_fixture import card_text, tiny_contract, tiny_graph, write_sources

WHITE = (255, 255, 255)
_SCALE = 92.0  # of the logits: 79 at the brightest of COLOURS and 92 at white; float32 ends at exp(88.7)


def overflowing_graph(contract: ModelContract) -> onnx.ModelProto:
    """`tiny_graph` whose logits are the logarithm of their exponential."""
    model = tiny_graph(contract, scale=_SCALE)
    graph = model.graph
    matmul = next(node for node in graph.node if node.op_type == "MatMul")
    matmul.output[0] = "exact"
    softmax = graph.node.pop()
    nodes = [
        helper.make_node("Exp", ["exact"], ["large"]),
        helper.make_node("Log", ["large"], [LOGITS]),
    ]
    graph.node.extend([*nodes, softmax])
    onnx.checker.check_model(model)
    return model


def write_overflowing_model(model_dir: Path, contract: ModelContract | None = None) -> None:
    """Write `model.onnx` and `contract.json` that agree."""
    model_dir.mkdir(parents=True, exist_ok=True)
    contract = contract or tiny_contract()
    (model_dir / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
    onnx.save(overflowing_graph(contract), model_dir / ONNX_FILE)


def register_overflowing_model(project: Project) -> None:
    sources = write_sources(project.folder / "artifacts")
    write_overflowing_model(sources.export_dir)
    sources.card.write_text(card_text(sources.export_dir / ONNX_FILE))
    project.register_sources(sources)
