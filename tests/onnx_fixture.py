"""A tiny real ONNX model with a contract: mean colour, times a matrix, softmax. It loads in milliseconds.

Class i wins on pictures in the i-th colour: red, green, blue.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from evaluation.predictions import Predictions
from evaluation.statistics.parity import Parity
from export.register import Sources
from runtime.model.contract import (
    CONTRACT_FILE,
    CONTRACT_KEY,
    IMAGES,
    LOGITS,
    ONNX_FILE,
    PROBABILITIES,
    ClassificationContract,
    ModelContract,
)
from runtime.model.hashing import file_sha256

CLASSES = ("red", "green", "blue")
COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}


def tiny_contract(height: int = 16, width: int = 24, classes: tuple[str, ...] = CLASSES) -> ModelContract:
    return ClassificationContract(
        classes=classes, height=height, width=width, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )


def tiny_weights(num_columns: int, scale: float, confused: bool) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """`(3, num_columns)`: mean colour to logits; `confused` calls green blue."""
    weights = np.eye(3, num_columns)
    if confused:
        weights[1, 1], weights[1, 2] = 0, 1
    return (weights * scale / 255).astype(np.float32)


def tiny_graph(
    contract: ModelContract, num_columns: int | None = None, scale: float = 8.0, confused: bool = False
) -> onnx.ModelProto:
    """Build the graph; `num_columns` other than the contract's classes makes the two disagree."""
    num_columns = len(contract.classes) if num_columns is None else num_columns
    weights = tiny_weights(num_columns, scale, confused)
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


def write_tiny_model(
    model_dir: Path, contract: ModelContract | None = None, scale: float = 8.0, confused: bool = False
) -> ModelContract:
    """Write `model.onnx` and `contract.json` that agree."""
    contract = contract or tiny_contract()
    model_dir.mkdir(parents=True, exist_ok=True)
    (model_dir / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
    onnx.save(tiny_graph(contract, scale=scale, confused=confused), model_dir / ONNX_FILE)
    return contract


@dataclass(frozen=True)
class TinyData:
    """Pictures of one colour each: of every class one object for each of `splits`, two pictures of each.

    first: the number of the first object; an object looks the same in every data set that has it.
    """

    name: str = "colours"
    splits: tuple[str, ...] = ("train", "val", "test", "test")
    classes: tuple[str, ...] = CLASSES  # or the first of them
    first: int = 0


def write_tiny_data(data_dir: Path, data: TinyData) -> Manifest:
    """Write pictures, manifest and description."""
    rows = []
    for label, (number, split), shot in itertools.product(data.classes, enumerate(data.splits, data.first), (1, 2)):
        path = f"pictures/{label}{number}_{shot}.png"
        rng = np.random.default_rng([*label.encode(), number, shot])
        colour = np.clip(np.asarray(COLOURS[label]) + rng.integers(-20, 21, size=3), 0, 255)
        (data_dir / "pictures").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), tuple(colour.tolist())).save(data_dir / path)
        digest = file_sha256(data_dir / path)
        rows.append([path, label, f"{label}{number}", split, split, digest, 12, 10, ""])
    manifest = Manifest(pd.DataFrame(rows, columns=COLUMNS), data_dir)
    manifest.write(data_dir / "manifest.csv")
    DataDescription(name=data.name, title="Colours", summary="One colour each.", group_meaning="object").write(data_dir)
    return manifest


def tiny_predictions(manifest: Manifest, weights: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Predictions:
    """What the tiny model of these weights says of the validation and test pictures."""
    rows = manifest.table[manifest.table["split"] != "train"].reset_index(drop=True)
    colours = [np.asarray(Image.open(manifest.root / path)).mean(axis=(0, 1)) for path in rows["path"]]
    scores = np.exp(np.stack(colours) @ weights)
    return Predictions.from_table(rows, scores / scores.sum(axis=1, keepdims=True), CLASSES[: weights.shape[1]])


def write_sources(
    directory: Path, scale: float = 8.0, limit: float = 1e-4, confused: bool = False, data: TinyData | None = None
) -> Sources:
    """Write everything that registration asks for, all of one tiny model; another `scale` is another model."""
    export_dir, evaluation_dir = directory / "export", directory / "evaluation"
    data = data or TinyData()
    manifest = write_tiny_data(directory / "data", data)
    write_tiny_model(export_dir, tiny_contract(classes=data.classes), scale=scale, confused=confused)
    parity = Parity(
        split="val", num_images=9, batch_sizes=(1, 7), max_probability_difference=1e-6, limit=limit, argmax_agreement=1
    )
    (export_dir / "parity.json").write_text(parity.model_dump_json())
    evaluation_dir.mkdir(parents=True, exist_ok=True)
    (evaluation_dir / "evaluation.json").write_text('{"accuracy": 1.0}')
    (evaluation_dir / "metrics.json").write_text('{"accuracy": 1.0, "macro_f1": {"value": 1.0}}')
    sources = Sources(
        checkpoint=directory / "checkpoint.pt",
        export_dir=export_dir,
        evaluation_dir=evaluation_dir,
        card=directory / "MODEL_CARD.md",
        predictions=directory / "predictions.csv",
        data_dir=directory / "data",
        review_dir=directory / "review",
    )
    tiny_predictions(manifest, tiny_weights(len(data.classes), scale, confused)).write(sources.predictions)
    sources.checkpoint.write_bytes(b"weights")
    sources.card.write_text(card_text(export_dir / ONNX_FILE))
    return sources


def card_text(onnx_path: Path) -> str:
    return f"---\nmodel_sha256: {file_sha256(onnx_path)}\n---\n# A tiny model\n"
