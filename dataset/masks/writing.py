"""Write a source's mask in the form that all later stages read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataset.annotations import IGNORED, write_mask
from dataset.manifest import ManifestError
from dataset.masks.source_masks import MaskError, SourceMasks
from dataset.outputs.disk import write_problem
from dataset.outputs.originals import OriginalError
from runtime.model.errors import ImageError


def write_settled(masks: SourceMasks, regions: Sequence[str], mask: str, label: str, path: Path) -> None:
    """Write a mask as `dataset/annotations.py` says; `regions` names those of its `masks` that occur in any.

    mask, label: of its `SourcePicture`. Raises OriginalError if it can no longer be read, also where it has changed
    since it was looked at, and ManifestError if `path` cannot be written.
    """
    values = np.full(256, -1, dtype=np.int16)
    values[[0, IGNORED]] = 0, IGNORED
    for value, name in enumerate(masks.names, start=1):
        if name in regions:
            values[value] = regions.index(name) + 1
    try:
        settled = values[masks.read(mask, label)]
    except (MaskError, ImageError) as exc:
        raise OriginalError(0, f"its mask has changed while it was loaded: {exc}") from exc
    if settled.min() < 0:
        raise OriginalError(0, "its mask has changed while it was loaded")
    try:
        write_mask(path, settled.astype(np.uint8))
    except OSError as exc:
        raise ManifestError(write_problem(exc, path)) from exc
