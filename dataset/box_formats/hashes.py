"""Note in a manifest what its boxes say, so that a corrected box makes other data of it."""

import hashlib
from pathlib import Path

import pandas as pd

from dataset.boxes import boxes_file
from dataset.manifest import BOXES_SHA256, MASK_SHA256


def with_box_hashes(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Return a manifest's table with the hash of each row's boxes beside it, empty where there are none.

    root: folder of the pictures' paths, in which loading has written boxes. Without boxes the table is returned as it
    is.
    """
    if not boxes_file(root).is_file():
        return table
    boxes = pd.read_csv(boxes_file(root), dtype=str, keep_default_na=False)
    lines: dict[str, list[str]] = {}
    for path, *values in boxes.itertuples(index=False, name=None):
        lines.setdefault(path, []).append("\t".join(values) + "\n")
    hashes = {path: hashlib.sha256("".join(of_one).encode()).hexdigest() for path, of_one in lines.items()}
    result = table.drop(columns=BOXES_SHA256, errors="ignore")
    after = MASK_SHA256 if MASK_SHA256 in result.columns else "mask"
    result.insert(list(result.columns).index(after) + 1, BOXES_SHA256, [hashes.get(path, "") for path in table["path"]])
    return result
