"""What a source's masks have in common, whatever form they have in it: they are read into one numbering."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from dataset.annotations import BACKGROUND, MarkedArray, MaskArray
from dataset.outputs.originals import read_original
from runtime.model.image import decode_image

_HALF = 127  # of 255; what JPEG and soft brushes leave at edges is on one side or the other


class MaskError(ValueError):
    """A mask that can be read and not be used; the message says why and does not name its file."""


class SourceMasks(Protocol):
    """The masks of a source. names: what they may mark; value `i + 1` of what is read is `names[i]`."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def read(self, mask: str, label: str) -> MaskArray | None:
        """Return a mask, `(height, width)` uint8 with 0 for background and 255 for ignored; None if nobody made one.

        mask, label: of a `SourcePicture`. Raises MaskError for what it holds, ImageError if it cannot be decoded,
        OriginalError if it cannot be read from its disk.
        """
        ...

    def shown(self, mask: str) -> str:
        """Return what messages call a mask: the user's file."""
        ...

    def remark(self) -> str:
        """Return what is to be said once of all masks that were read, '' if nothing is."""
        ...


def is_above_middle(data: bytes) -> MarkedArray:
    """Return `(height, width)` bool of any picture's file: true where a channel is above 127. Raises ImageError."""
    return np.asarray(decode_image(data).max(axis=2) > _HALF)


@dataclass(frozen=True, slots=True)
class BinaryMasks:
    """Masks that mark the class of their picture, or the first of the names where its class is none of them.

    files: the user's file of each `mask`. names: classes, sorted. marked: tells from a file's bytes where it marks
    something.
    """

    files: Mapping[str, Path]
    names: tuple[str, ...]
    marked: Callable[[bytes], MarkedArray] = is_above_middle

    def read(self, mask: str, label: str) -> MaskArray | None:
        """Return the mask as `SourceMasks` says."""
        if mask not in self.files:
            return None
        value = self.names.index(label) + 1 if label in self.names else 1
        return np.where(self.marked(read_original(self.files[mask])), value, BACKGROUND).astype(np.uint8)

    def shown(self, mask: str) -> str:
        """Return the mask's file."""
        return str(self.files.get(mask, mask))

    def remark(self) -> str:
        """Return nothing: there is nothing to remark."""
        return ""


@dataclass(frozen=True, slots=True)
class IndexMasks:
    """Masks whose values say what is there, whatever the class of their picture.

    files: the user's file of each `mask`. names: what values may mean, sorted. decode: tells values by `names` from a
    file's bytes.
    """

    files: Mapping[str, Path]
    names: tuple[str, ...]
    decode: Callable[[bytes], MaskArray]

    def read(self, mask: str, label: str) -> MaskArray | None:  # noqa: ARG002 (of the protocol)
        """Return the mask as `SourceMasks` says."""
        return self.decode(read_original(self.files[mask])) if mask in self.files else None

    def shown(self, mask: str) -> str:
        """Return the mask's file."""
        return str(self.files.get(mask, mask))

    def remark(self) -> str:
        """Return nothing: there is nothing to remark."""
        return ""
