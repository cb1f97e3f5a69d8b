"""Note in a manifest what is in its masks, so that a corrected mask makes other data of it."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from dataset.annotations import read_mask
from dataset.manifest import MASK_SHA256


def with_mask_hashes(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Return a manifest's table with the hash of each row's mask beside it, empty where there is none.

    root: folder of the masks' paths. A table without any mask is returned as it is. Raises ManifestError if a mask
    cannot be read.
    """
    if not (table["mask"] != "").any():
        return table
    with ThreadPoolExecutor() as pool:  # decoding and hashing are outside Python's lock
        hashes = list(pool.map(lambda mask: mask_sha256(root / mask) if mask else "", table["mask"]))
    result = table.drop(columns=MASK_SHA256, errors="ignore")
    result.insert(list(result.columns).index("mask") + 1, MASK_SHA256, hashes)
    return result


def mask_sha256(path: Path) -> str:
    """Return the hash of a mask's size and values: that of its file would change with the writer of PNGs, too."""
    mask = read_mask(path)
    return hashlib.sha256(b"%d x %d\n" % mask.shape + np.ascontiguousarray(mask).tobytes()).hexdigest()
