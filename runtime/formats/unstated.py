"""Samples whose range no file states: of 16 bits, which a camera may fill or not."""

from typing import Any

from numpy.typing import NDArray

from runtime.formats.png import read_unstated_png
from runtime.formats.sniff import HEAD_BYTES, sniff
from runtime.formats.tiff import read_unstated_tiff

_PNG_DEPTH_AT = 24  # in the first chunk, which has a fixed place


def may_be_unstated(head: bytes) -> bool:
    """Whether a file that begins so may hold such samples; JPEG, WebP and BMP never do."""
    name = sniff(head)
    return name in ("TIFF", "BigTIFF") or (name == "PNG" and head[_PNG_DEPTH_AT : _PNG_DEPTH_AT + 1] == b"\x10")


def unstated_samples(data: bytes, max_pixels: int) -> NDArray[Any] | None:
    """Return the colour samples of a picture of 16 bits, uint16 of any shape, if its file does not state their range.

    Returns None for any other picture. Raises ImageError if it cannot be read.
    """
    name = sniff(data[:HEAD_BYTES])
    if name in ("TIFF", "BigTIFF"):
        return read_unstated_tiff(data, max_pixels)
    return read_unstated_png(data, max_pixels) if name == "PNG" else None
