"""A tiny real ONNX segmentation model with a contract: what is red or blue is a region, grey is background.

Of each pixel `foreground` is |red - blue| / 200, at most 1: 1 in the colours of `REGION_COLOURS`, 0 in any grey, half
where half of a pixel is coloured and half grey. So a region begins, at the contract's threshold of 0.5, where half of a
pixel is covered. The picture's class comes from the shares of the picture that are red and blue; 2% decide.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bentoml
import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

from dataset.annotations import write_mask
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from dataset.masks.hashes import with_mask_hashes
from evaluation.outlines.region_table import RegionTable
from evaluation.predictions import Predictions
from evaluation.statistics.parity import Parity
from export.register import Sources
from runtime.model.contract import (
    CONTRACT_FILE,
    CONTRACT_KEY,
    FOREGROUND,
    IMAGES,
    LOGITS,
    ONNX_FILE,
    PROBABILITIES,
    REGION_MAP,
    Outputs,
    SegmentationContract,
)
from runtime.model.hashing import file_sha256
from runtime.model.session import Predictor
from tests.onnx_fixture import card_text

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


def draw_spots(width: int, height: int, spots: Sequence[Spot], background: tuple[int, int, int] = GREY) -> Image.Image:
    """Draw ellipses in the colours of regions on grey, at the sides half covered: drawn at 4 times the size."""
    image = Image.new("RGB", (width * 4, height * 4), background)
    draw = ImageDraw.Draw(image)
    for name, box in spots:
        left, top, right, bottom = (round(4 * side) for side in box)
        draw.ellipse((left, top, right - 1, bottom - 1), fill=REGION_COLOURS[name])
    return image.resize((width, height), Image.Resampling.BOX)


@dataclass(frozen=True)
class SpottedData:
    """Pictures of one spot each, or of none: of every class one object for each of `splits`, two pictures of each.

    first: the number of the first object; an object looks the same in every data set that has it.
    """

    splits: tuple[str, ...] = ("train", "val", "test", "test")
    first: int = 0


def write_spotted_data(data_dir: Path, data: SpottedData) -> Manifest:
    """Write pictures of the model's size, their masks, manifest and description."""
    rows = []
    for label, (number, split), shot in itertools.product(
        SEGMENTER_CLASSES, enumerate(data.splits, data.first), (1, 2)
    ):
        name = f"{label}{number}_{shot}.png"
        rng = np.random.default_rng([*label.encode(), number, shot])
        left, top = rng.integers(2, 20, size=2).tolist()
        spots = [(label, (left, top, left + 26, top + 20))] if label in REGIONS else []
        picture = draw_spots(64, 48, spots, (int(rng.integers(60, 180)),) * 3)
        (data_dir / "pictures/images").mkdir(parents=True, exist_ok=True)
        picture.save(data_dir / "pictures/images" / name)
        mask = ""
        if label in REGIONS:
            mask = f"pictures/masks/{name}"
            red, _, blue = np.moveaxis(np.asarray(picture, np.float32), 2, 0)
            is_spot = np.abs(red - blue) >= _RANGE / 2
            write_mask(data_dir / mask, np.where(is_spot, REGIONS.index(label) + 1, 0).astype(np.uint8))
        path = f"pictures/images/{name}"
        rows.append([path, label, f"{label}{number}", split, split, file_sha256(data_dir / path), 64, 48, mask])
    manifest = Manifest(with_mask_hashes(pd.DataFrame(rows, columns=COLUMNS), data_dir), data_dir)
    manifest.write(data_dir / "manifest.csv")
    DataDescription(
        name="spots", title="Spots", summary="One spot each.", group_meaning="object", normal_class="grey",
        regions=REGIONS,
    ).write(data_dir)  # fmt: skip
    return manifest


def write_segmenter_sources(
    directory: Path, data: SpottedData | None = None, scale: float = 50.0, sensitivity: float = 1.0,
    confused: bool = False,
) -> Sources:  # fmt: skip
    """Write everything that registration asks for, all of one tiny model; another `scale` is another model.

    A `sensitivity` below 0.5 outlines nothing, and still tells the pictures' classes.
    """
    sources = Sources(
        checkpoint=directory / "checkpoint.pt",
        export_dir=directory / "export",
        evaluation_dir=directory / "evaluation",
        card=directory / "MODEL_CARD.md",
        predictions=directory / "predictions.csv",
        data_dir=directory / "data",
        review_dir=directory / "review",
    )
    manifest = write_spotted_data(sources.data_dir, data or SpottedData())
    contract = write_segmenter(sources.export_dir, None, scale, sensitivity, confused)
    parity = Parity(
        split="val", num_images=6, batch_sizes=(1, 7), max_probability_difference=1e-6, limit=1e-4, argmax_agreement=1,
        max_foreground_difference=1e-6, map_agreement=1,
    )  # fmt: skip
    (sources.export_dir / "parity.json").write_text(parity.to_json())
    sources.evaluation_dir.mkdir(parents=True, exist_ok=True)
    (sources.evaluation_dir / "evaluation.json").write_text('{"accuracy": 1.0}')
    (sources.evaluation_dir / "metrics.json").write_text('{"accuracy": 1.0, "macro_f1": {"value": 1.0}}')
    rows = manifest.table[manifest.table["split"] != "train"].reset_index(drop=True)
    pixels = [np.asarray(Image.open(manifest.root / path)) for path in rows["path"]]
    outputs = Predictor.load(sources.export_dir, device="cpu", threads=1).predict(np.stack(pixels))
    Predictions.from_table(rows, outputs[PROBABILITIES].astype(np.float64), contract.classes).write(sources.predictions)
    counted_regions(rows, outputs, contract, manifest.root).write(sources.evaluation_dir / "regions.csv")
    sources.checkpoint.write_bytes(b"weights")
    sources.card.write_text(card_text(sources.export_dir / ONNX_FILE))
    return sources


def counted_regions(
    rows: pd.DataFrame, outputs: Outputs, contract: SegmentationContract, data_dir: Path
) -> RegionTable:
    """Count the pixels of test pictures as evaluation does, one comparison of maps a region."""
    counts = []
    is_test = (rows["split"] == "test").to_numpy()
    for row in np.flatnonzero(is_test):
        foreground, mask = outputs[FOREGROUND][row], rows["mask"].iloc[row]
        found = np.where(foreground >= contract.threshold, outputs[REGION_MAP][row], 0)
        there = np.asarray(Image.open(data_dir / mask)) if mask else np.zeros_like(found)
        pairs = [(found > 0, there > 0), *((found == value, there == value) for value in (1, 2))]
        counts.append([[(f & t).sum(), f.sum(), t.sum()] for f, t in pairs])
    test = rows[is_test]
    return RegionTable(
        test["path"].to_numpy(dtype=object), test["group"].to_numpy(dtype=object), contract.regions,
        np.full(len(test), contract.height * contract.width), np.asarray(counts, dtype=np.int64),
    )  # fmt: skip
