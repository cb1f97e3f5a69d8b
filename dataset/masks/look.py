"""Look at one mask of a source: its size, what it marks, and whether it fits its picture."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from dataset.annotations import BACKGROUND, IGNORED
from dataset.masks.source_masks import MaskError, SourceMasks


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What a mask holds: its size and the pixels of each value that occurs. problem: why it cannot be used, or ''."""

    width: int = 0
    height: int = 0
    areas: Mapping[int, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def num_regions(self) -> int:
        """How many regions it marks."""
        return len({*self.areas} - {BACKGROUND, IGNORED})


def look_at_mask(masks: SourceMasks, mask: str, label: str) -> MaskFacts | None:
    """Read a mask and return what it holds, None if nobody made one.

    mask, label: of a `SourcePicture`. Raises ImageError if it cannot be decoded, OriginalError if it cannot be read.
    """
    try:
        values = masks.read(mask, label)
    except MaskError as exc:
        return MaskFacts(problem=str(exc))
    if values is None:
        return None
    counts = np.bincount(values.ravel(), minlength=256)
    height, width = values.shape
    return MaskFacts(width, height, {int(value): int(counts[value]) for value in np.flatnonzero(counts)})


def fitted(facts: MaskFacts, width: int, height: int, picture: bytes) -> MaskFacts:
    """Return the facts with a problem if the mask is not of its picture's size.

    width, height: of the picture, upright. picture: its file, which says whether it is stored on its side.
    """
    size = facts.width, facts.height
    if facts.problem or size == (width, height):
        return facts
    own = f"it is {facts.width} x {facts.height} pixels"
    if size == (height, width) and stored_size(picture) == size:
        return replace(
            facts,
            problem=f"{own}, as its picture is stored, which its EXIF orientation turns to {width} x {height}: turn "
            "the mask likewise",
        )
    return replace(facts, problem=f"{own}, and its picture {width} x {height}")


def stored_size(picture: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a picture's file as it is stored, None if it cannot be told."""
    try:
        with Image.open(io.BytesIO(picture)) as image:
            return image.size
    except Exception:
        return None
