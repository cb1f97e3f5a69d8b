"""What a source's masks have in common, whatever form they have in it: they are read into one numbering."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from dataset.annotations import BACKGROUND, MaskArray
from dataset.outputs.originals import read_original
from runtime.model.image import decode_image

_HALF = 127  # of 255; what JPEG and soft brushes leave at edges is on one side or the other


class MaskError(ValueError):
    """A mask that can be read and not be used; the message says why and does not name its file."""


class SourceMasks(Protocol):
    """The masks of a source. names: what they may mark; value `i + 1` of what is read is `names[i]`."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def read(self, mask: str, label: str) -> MaskArray:
        """Return a mask, `(height, width)` uint8 with 0 for background and 255 for ignored.

        mask, label: of a `SourcePicture`. Raises MaskError for what it holds, ImageError if it cannot be decoded,
        OriginalError if it cannot be read from its disk.
        """
        ...


@dataclass(frozen=True, slots=True)
class BinaryMasks:
    """Masks that mark the class of their picture where any channel is above the middle, 127.

    files: the user's file of each `mask`. names: all classes, sorted.
    """

    files: Mapping[str, Path]
    names: tuple[str, ...]

    def read(self, mask: str, label: str) -> MaskArray:
        """Return the mask as `SourceMasks` says."""
        is_marked = decode_image(read_original(self.files[mask])).max(axis=2) > _HALF
        return np.where(is_marked, self.names.index(label) + 1, BACKGROUND).astype(np.uint8)
