"""Grey pictures with one coloured square, its mask beside it, and a model that answers by mean colour."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from tests.onnx_fixture import CLASSES, COLOURS, tiny_contract, write_tiny_model

SIDE_PX, SQUARE_PX = 48, 14
REGIONS = tuple(sorted(CLASSES))


def write_coloured_tiles(root: Path, per_class: int = 4) -> Path:
    """Write `data/`, `model/` and `params.yaml` below root; the third picture of each class is labelled wrongly."""
    data_dir = root / "data"
    rows = [_tile(data_dir, name, number) for name in CLASSES for number in range(per_class)]
    table = pd.DataFrame(rows)[[*COLUMNS, "attributes.shelf"]]
    Manifest(table, data_dir).write(data_dir / "manifest.csv")
    DataDescription(name="squares", title="Squares", summary="", group_meaning="square", regions=REGIONS).write(
        data_dir
    )
    write_tiny_model(root / "model", tiny_contract(48, 48), scale=60.0)
    (root / "params.yaml").write_text(
        "evaluate: {seed: 0, confidence: 0.95, bootstrap_samples: 100}\n"
        "review: {seed: 0, max_robustness_images: 9, maps_per_class: 1, max_mask_images: 5}\n"
    )
    return root


def _tile(data_dir: Path, name: str, number: int) -> dict[str, object]:
    pixels = np.full((SIDE_PX, SIDE_PX, 3), 128, np.uint8)
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    top, left = 2 + 6 * number, 30 - 6 * number
    pixels[top : top + SQUARE_PX, left : left + SQUARE_PX] = COLOURS[name]
    mask[top : top + SQUARE_PX, left : left + SQUARE_PX] = 1 + REGIONS.index(name)
    path, mask_path = Path(f"pictures/{name}{number}.png"), Path(f"masks/{name}{number}.png")
    for file, array in ((path, pixels), (mask_path, mask)):
        (data_dir / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(data_dir / file)
    others = [other for other in CLASSES if other != name]
    return {
        "path": path.as_posix(), "label": others[0] if number == 2 else name, "group": f"{name}{number}",
        "split": "val" if number == 0 else "test", "split_by_image": "test", "sha256": f"{name}{number}",
        "width": SIDE_PX, "height": SIDE_PX, "mask": mask_path.as_posix(), "attributes.shelf": str(number),
    }  # fmt: skip
