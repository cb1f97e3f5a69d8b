"""Write a source's mask in the form that all later stages read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataset.annotations import BACKGROUND, IGNORED, MaskArray, write_mask
from dataset.manifest import ManifestError
from dataset.masks.source_masks import MaskError, SourceMasks
from dataset.outputs.disk import write_problem
from dataset.outputs.originals import OriginalError
from dataset.sources.source_picture import SourcePicture
from runtime.model.errors import ImageError

_CHANGED = "its mask has changed while it was loaded"


def settled_mask(
    masks: SourceMasks, regions: Sequence[str], picture: SourcePicture, shape: tuple[int, int]
) -> MaskArray:
    """Return a picture's mask as `dataset/annotations.py` says; all of it is ignored where nobody made one.

    regions: those of the names of `masks` that occur in any. shape: (height, width) of the picture. Raises
    OriginalError if the mask can no longer be read, also where it has changed since it was looked at.
    """
    values = np.full(256, -1, dtype=np.int16)
    values[[BACKGROUND, IGNORED]] = BACKGROUND, IGNORED
    for value, name in enumerate(masks.names[: IGNORED - 1], start=1):
        if name in regions:
            values[value] = regions.index(name) + 1
    try:
        mask = masks.read(picture.mask, picture.label)
    except (MaskError, ImageError) as exc:
        raise OriginalError(0, f"{_CHANGED}: {exc}") from exc
    if mask is None:
        return np.full(shape, IGNORED, dtype=np.uint8)
    settled = values[mask]
    if mask.shape != shape or settled.min() < 0:
        raise OriginalError(0, _CHANGED)
    return settled.astype(np.uint8)


def write_settled(mask: MaskArray, path: Path) -> None:
    """Write the mask as PNG. Raises ManifestError if that cannot be done."""
    try:
        write_mask(path, mask)
    except OSError as exc:
        raise ManifestError(write_problem(exc, path)) from exc
