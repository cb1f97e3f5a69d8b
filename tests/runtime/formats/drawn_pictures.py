"""A drawn picture in which every turn, swap of colours, negative and cut shows, and writers of formats by hand."""

import io
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.model.errors import ImageError, ImageErrorCode
from runtime.model.image import ImageArray, decode_image


def drawn(height: int = 96, width: int = 128) -> ImageArray:
    """Return (height, width, 3) uint8: red rises in x, green in y; a blue block upper right, a black disc lower."""
    rows, columns = np.mgrid[0:height, 0:width]
    blue = np.where((rows < height // 3) & (columns > width // 2), 230, 40)
    picture = np.stack([columns * 255 // (width - 1), rows * 255 // (height - 1), blue], axis=-1).astype(np.uint8)
    picture[(rows - 3 * height // 4) ** 2 + (columns - width // 4) ** 2 < (height // 8) ** 2] = 0
    return picture


def encode(pixels: NDArray[np.uint8], kind: str, mode: str = "", **options: Any) -> bytes:
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def jpeg(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    return encode(pixels, "JPEG", **{"quality": 95, "subsampling": 0, **options})


def segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    """A JPEG's segment; `length` is what it states, if not the truth."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2 if length is None else length) + body


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    """A PNG's chunk; `checksum` is what it states, if not the truth."""
    stated = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", stated)


def png(
    rows: Sequence[bytes],
    width: int,
    depth: int,
    colour: int,
    before: bytes = b"",
    after: bytes = b"",
    *,
    packed: bytes | None = None,
    interlaced: int = 0,
) -> bytes:
    """A PNG of unfiltered rows, with chunks before and behind the pixels. packed: in place of the rows."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, interlaced))
    packed = zlib.compress(b"".join(b"\0" + row for row in rows)) if packed is None else packed
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", packed) + after + chunk(b"IEND", b"")


def rgb_png(pixels: NDArray[np.uint8], before: bytes = b"", after: bytes = b"") -> bytes:
    return png([row.tobytes() for row in pixels], pixels.shape[1], 8, 2, before, after)


def matrix_profile(primaries: Sequence[Sequence[float]], gamma: float) -> bytes:
    """An ICC profile of version 2: XYZ of red, green and blue under D50, and one power curve."""

    def fixed(values: Sequence[float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {b"wtpt": fixed((0.9642, 1, 0.8249))}
    for name, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        tags[name] = fixed(values)
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        tags[name] = curve
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(bodies), len(body))
        bodies += body
    head = bytes(8) + b"\x02\x20\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + fixed((0.9642, 1, 0.8249))[8:]
    whole = head.ljust(128, b"\0") + table + bodies
    return struct.pack(">I", len(whole)) + whole[4:]


def p3_to_srgb(rgb: list[int]) -> NDArray[np.float64]:
    """By the formulas of CSS Color 4: Display P3 to linear sRGB, both with sRGB's curve."""
    values = np.array(rgb) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[1.2249402, -0.2249402, 0.0], [-0.0420570, 1.0420571, 0.0], [-0.0196376, -0.0786361, 1.0982736]])
    light = np.clip(matrix @ linear, 0, 1)
    result: NDArray[np.float64] = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return result


def assert_refused(data: bytes, code: ImageErrorCode, **options: Any) -> str:
    """Assert that bytes are refused with `code`; return the message."""
    with pytest.raises(ImageError) as caught:
        decode_image(data, **options)
    assert caught.value.code is code, str(caught.value)
    return str(caught.value)


def assert_read_or_refused(data: bytes, **options: Any) -> None:
    """Assert that damaged bytes give a picture or an ImageError, and nothing else."""
    with suppress(ImageError):
        decoded = decode_image(data, **options)
        assert decoded.dtype == np.uint8
        assert decoded.ndim == decoded.shape[-1] == 3


def assert_shows(data: bytes, truth: NDArray[np.uint8], mean: float = 0.0) -> None:
    """Assert that bytes are read as `truth`, within a mean difference: lossy formats blur edges."""
    decoded = decode_image(data)
    assert decoded.shape == truth.shape
    assert np.abs(decoded.astype(int) - truth).mean() <= mean
