"""What a source's masks have in common, whatever form they have in it: they are read into one numbering."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from dataset.annotations import BACKGROUND, MaskArray
from dataset.masks.soft_edges import MIDDLE
from dataset.outputs.originals import read_original
from runtime.model.image import decode_image


class MaskError(ValueError):
    """A mask that can be read and not be used; the message says why and does not name its file."""


class Decoded(NamedTuple):
    """What a mask's file holds, `(height, width)` uint8, and whether that was decided where its edges fade."""

    values: MaskArray
    has_soft_edges: bool = False


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


def read_above_middle(data: bytes) -> Decoded:
    """Return 1 where a channel of any picture's file is above 127, else 0. Raises ImageError."""
    return Decoded((decode_image(data).max(axis=2) > MIDDLE).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class SoftEdges:
    """Which files had edges that fade, noted as they are read, in whatever thread."""

    files: dict[str, Path] = field(default_factory=dict)

    def note(self, mask: str, file: Path, decoded: Decoded) -> MaskArray:
        """Return what was decoded of the file of a `mask`, which may be read more than once."""
        if decoded.has_soft_edges:
            self.files[mask] = file
        return decoded.values

    def remark(self) -> str:
        """Say how many there were, '' if none."""
        if not self.files:
            return ""
        first = self.files[min(self.files)]
        return (
            f"{len(self.files)} mask(s) have edges that fade from black to white, such as {first}: what is above "
            f"{MIDDLE} is marked"
        )


@dataclass(frozen=True, slots=True)
class BinaryMasks:
    """Masks that mark the class of their picture, or the first of the names where its class is none of them.

    files: the user's file of each `mask`. names: classes, sorted. decode: tells from a file's bytes where it marks
    something, by 1.
    """

    files: Mapping[str, Path]
    names: tuple[str, ...]
    decode: Callable[[bytes], Decoded] = read_above_middle
    soft_edges: SoftEdges = field(default_factory=SoftEdges)

    def read(self, mask: str, label: str) -> MaskArray | None:
        """Return the mask as `SourceMasks` says."""
        if mask not in self.files:
            return None
        value = self.names.index(label) + 1 if label in self.names else 1
        file = self.files[mask]
        is_marked = self.soft_edges.note(mask, file, self.decode(read_original(file)))
        return np.where(is_marked, value, BACKGROUND).astype(np.uint8)

    def shown(self, mask: str) -> str:
        """Return the mask's file."""
        return str(self.files.get(mask, mask))

    def remark(self) -> str:
        """Return how many masks had edges that fade."""
        return self.soft_edges.remark()


@dataclass(frozen=True, slots=True)
class IndexMasks:
    """Masks whose values say what is there, whatever the class of their picture.

    files: the user's file of each `mask`. names: what values may mean, sorted. decode: tells values by `names` from a
    file's bytes.
    """

    files: Mapping[str, Path]
    names: tuple[str, ...]
    decode: Callable[[bytes], Decoded]
    soft_edges: SoftEdges = field(default_factory=SoftEdges)

    def read(self, mask: str, label: str) -> MaskArray | None:  # noqa: ARG002 (of the protocol)
        """Return the mask as `SourceMasks` says."""
        if mask not in self.files:
            return None
        file = self.files[mask]
        return self.soft_edges.note(mask, file, self.decode(read_original(file)))

    def shown(self, mask: str) -> str:
        """Return the mask's file."""
        return str(self.files.get(mask, mask))

    def remark(self) -> str:
        """Return how many masks had edges that fade."""
        return self.soft_edges.remark()
