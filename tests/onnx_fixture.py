"""A tiny real ONNX model with a contract: mean colour, times a matrix, softmax. It loads in milliseconds.

Class i wins on pictures in the i-th colour: red, green, blue.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evaluation.parity import Parity
from export.register import Sources
from runtime.contract import CONTRACT_FILE, CONTRACT_KEY, IMAGES, LOGITS, ONNX_FILE, PROBABILITIES, ModelContract
from runtime.hashing import file_sha256

CLASSES = ("red", "green", "blue")
COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}


def tiny_contract(height: int = 16, width: int = 24, classes: tuple[str, ...] = CLASSES) -> ModelContract:
    return ModelContract(classes=classes, height=height, width=width, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def tiny_graph(contract: ModelContract, num_columns: int | None = None, scale: float = 8.0) -> onnx.ModelProto:
    """Build the graph; `num_columns` other than the contract's classes makes the two disagree."""
    num_columns = len(contract.classes) if num_columns is None else num_columns
    weights = (np.eye(3, num_columns) * scale / 255).astype(np.float32)
    nodes = [
        helper.make_node("Cast", [IMAGES], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["as_float", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], [LOGITS]),
        helper.make_node("Softmax", [LOGITS], [PROBABILITIES], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["batch", contract.height, contract.width, 3])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", num_columns]) for n in (PROBABILITIES, LOGITS)],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {CONTRACT_KEY: contract.to_json()})
    return model


def write_tiny_model(model_dir: Path, contract: ModelContract | None = None, scale: float = 8.0) -> ModelContract:
    """Write `model.onnx` and `contract.json` that agree."""
    contract = contract or tiny_contract()
    model_dir.mkdir(parents=True, exist_ok=True)
    (model_dir / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
    onnx.save(tiny_graph(contract, scale=scale), model_dir / ONNX_FILE)
    return contract


def write_sources(directory: Path, scale: float = 8.0, limit: float = 1e-4) -> Sources:
    """Write everything that registration asks for, all of one tiny model; another `scale` is another model."""
    export_dir, evaluation_dir = directory / "export", directory / "evaluation"
    write_tiny_model(export_dir, scale=scale)
    parity = Parity(
        split="val", num_images=9, batch_sizes=(1, 7), max_probability_difference=1e-6, limit=limit, argmax_agreement=1
    )
    (export_dir / "parity.json").write_text(parity.model_dump_json())
    evaluation_dir.mkdir(parents=True, exist_ok=True)
    (evaluation_dir / "evaluation.json").write_text('{"accuracy": 1.0}')
    (evaluation_dir / "metrics.json").write_text('{"accuracy": 1.0, "macro_f1": {"value": 1.0}}')
    sources = Sources(directory / "checkpoint.pt", export_dir, evaluation_dir, directory / "MODEL_CARD.md")
    sources.checkpoint.write_bytes(b"weights")
    sources.card.write_text(card_text(export_dir / ONNX_FILE))
    return sources


def card_text(onnx_path: Path) -> str:
    return f"---\nmodel_sha256: {file_sha256(onnx_path)}\n---\n# A tiny model\n"
