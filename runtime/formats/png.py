"""PNG: all its depths and kinds of transparency, whole pictures only, with the colours that it states."""

import io
import zlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile

from runtime.formats.colour_statement import stated_profile
from runtime.formats.depth import CONTRACT, LARGEST_16_BIT, scale_unsigned
from runtime.formats.orientation import orientation_of
from runtime.formats.png_chunks import PngChunks, read_chunks
from runtime.formats.stored import ReadOptions, StoredPicture, check_pixels, damaged

# What pixels hold before they are read. Black would not show that rows are missing.
_UNREAD = 171
_PIECE = 1 << 16
_BAND_PIXELS = 1 << 18


def read_png(data: bytes, options: ReadOptions) -> StoredPicture:
    """Read a PNG; of an animated one the default picture. Raises ImageError.

    Samples of 16 bits are scaled by their full range, or by `options.max_value` where that is given.
    """
    chunks = read_chunks(data)
    check_pixels(chunks.width, chunks.height, options.max_pixels)
    image = _read_deep(chunks, options.max_value) if chunks.depth == 16 else _read_shallow(chunks)
    return StoredPicture(
        image,
        (chunks.height, chunks.width),
        orientation_of(chunks.shown.get(b"eXIf", b"")),
        stated_profile(chunks.shown),
    )


def read_unstated_png(data: bytes, max_pixels: int) -> NDArray[np.uint16] | None:
    """Return the colour samples of a PNG of 16 bits, `(height, width, n)`; None if it has fewer. Raises ImageError."""
    chunks = read_chunks(data)
    check_pixels(chunks.width, chunks.height, max_pixels)
    if chunks.depth != 16:
        return None
    num_colours = 1 if chunks.colour in (0, 4) else 3
    return _joined(_halves(chunks), 0, chunks.height)[..., :num_colours]


def _read_shallow(chunks: PngChunks) -> Image.Image:
    """Read samples of up to 8 bits."""
    transparent = chunks.shown.get(b"tRNS", b"")
    if chunks.colour == 3:
        return _decode(chunks, transparent[: len(chunks.palette) // 3])
    image = _decode(chunks)
    if chunks.colour in (0, 2) and len(transparent) == 2 * len(image.getbands()):
        largest = 2**chunks.depth - 1
        key = tuple((value & largest) * 255 // largest for value in np.frombuffer(transparent, ">u2").tolist())
        image.info["transparency"] = key if len(key) > 1 else key[0]
    return image


def _read_deep(chunks: PngChunks, max_value: int | None) -> Image.Image:
    """Read samples of 16 bits, every bit of them, and scale them to 8."""
    halves = _halves(chunks)
    source = "its 16 bits" if max_value is None else CONTRACT
    transparent = chunks.shown.get(b"tRNS", b"") if chunks.colour in (0, 2) else b""
    num_colours = 1 if chunks.colour in (0, 4) else 3
    key = np.frombuffer(transparent, ">u2") if len(transparent) == 2 * num_colours else None
    has_alpha = key is not None or chunks.colour in (4, 6)
    pixels = np.empty((chunks.height, chunks.width, num_colours + has_alpha), np.uint8)
    rows = max(1, _BAND_PIXELS // chunks.width)
    for top in range(0, chunks.height, rows):  # in bands: samples of 16 bits take twice the memory of the result
        values = _joined(halves, top, min(top + rows, chunks.height))
        band = slice(top, top + rows)
        pixels[band, :, :num_colours] = scale_unsigned(values[..., :num_colours], max_value or LARGEST_16_BIT, source)
        if key is not None:
            pixels[band, :, -1] = np.where((values == key).all(axis=-1), 0, 255)
        elif has_alpha:
            pixels[band, :, -1] = scale_unsigned(values[..., -1], LARGEST_16_BIT, "its 16 bits")
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _halves(chunks: PngChunks) -> list[Image.Image]:
    """Return the bytes of all samples: one picture with upper and lower bytes in turn, or one of each.

    Pillow gives whole samples of grey alone. To it, grey of two bytes are two samples of one byte, which lie and are
    filtered likewise; of colours it gives either the upper or, as if they were the upper, the lower bytes.
    """
    if chunks.colour in (0, 4):
        return [_decode(replace(chunks, depth=8, colour=4 if chunks.colour == 0 else 6))]
    kind = "RGB" if chunks.colour == 2 else "RGBA"
    return [_decode(chunks, raw_mode=f"{kind};16{end}") for end in ("B", "L")]


def _joined(halves: list[Image.Image], top: int, bottom: int) -> NDArray[np.uint16]:
    """Return the samples of some rows, (rows, width, samples) uint16."""
    upper, *rest = (np.asarray(half.crop((0, top, half.width, bottom))) for half in halves)
    lower = rest[0] if rest else upper[..., 1::2]
    joined: NDArray[np.uint16] = (upper if rest else upper[..., 0::2]).astype(np.uint16) << 8 | lower
    return joined


def _decode(chunks: PngChunks, transparency: bytes = b"", raw_mode: str = "") -> Image.Image:
    """Decode the pixels by Pillow, and make sure that all were there."""
    image = PngImageFile(io.BytesIO(chunks.file(transparency)))
    if raw_mode:
        image.tile = [ImageFile._Tile(tile.codec_name, tile.extents, tile.offset, raw_mode) for tile in image.tile]
    num_bands = len(image.getbands())
    image.im = Image.new(image.mode, image.size, (_UNREAD,) * num_bands if num_bands > 1 else _UNREAD).im
    image.load()
    last_row = image.crop((0, image.height - 1, *image.size)).tobytes()
    if chunks.interlaced or chunks.depth == 1 or last_row.count(_UNREAD) == len(last_row):
        _check_all_there(chunks)
    return image


def _check_all_there(chunks: PngChunks) -> None:
    """Raise ImageError if the packed pixels end in order, but early, which Pillow takes for rows of nothing."""
    missing = chunks.unpacked_size()
    unpacker = zlib.decompressobj()
    for body in chunks.pixels:
        for start in range(0, len(body), _PIECE):
            piece = bytes(body[start : start + _PIECE])
            while piece and missing > 0:
                missing -= len(unpacker.decompress(piece, _PIECE))
                piece = unpacker.unconsumed_tail
    if missing > 0:
        raise damaged("the PNG's packed pixels end before the picture does")
