"""Strips and tiles of a TIFF unpacked: by libtiff, libjpeg and libwebp, which never see the file's own tags.

Streams of bytes (LZW, Deflate, PackBits, Zstandard, CCITT) are put into a plain TIFF of our own and given to Pillow's
libtiff, so what a hostile or unusual file states reaches no C code, and what the bytes mean is decided here alone.
"""

import io
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from runtime.formats.tiff_file.errors import corrupt, refusal
from runtime.formats.tiff_file.structure import Structure
from runtime.formats.tiff_file.table import CMYK, JPEG, RGB, WEBP, YCBCR
from runtime.model.errors import ImageError

Samples = NDArray[np.uint8]
MAX_SCANS = 100  # of a JPEG: each walks the whole strip or tile again
_LONG, _SHORT = 4, 3
_LONG_TAGS = (256, 257, 273, 278, 279, 292, 293)
_PHOTOMETRICS = {1: 1, 3: 2, 4: 5}  # samples -> grey, RGB, CMYK: Pillow hands each on as it is
_ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"  # and one byte: 0 for colours as they are, 1 for YCbCr
_SOI, _EOI, _SOS, _APP0, _APP14, _COMMENT = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE, 0xFE
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_DCT_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: Huffman-coded


def unpack_streams(
    streams: Sequence[bytes], shape: tuple[int, int], rows_each: int, structure: Structure, samples: int = 0
) -> Samples:
    """Return bytes of `shape`, (rows, bytes of a row), that were packed in streams of `rows_each` rows, the last fewer.

    samples: 1, 3 or 4 of 8 bits where libtiff is to undo the horizontal predictor; 0 where it is left as it is.
    Raises ImageError if a stream is damaged or too short.
    """
    tags = {266: structure.directory.number(266, 1), 317: 2 if samples else 1}
    width = shape[1] // max(1, samples)
    bits = [8] * max(1, samples)
    image = _plain_tiff(streams, (shape[0], width), rows_each, structure.compression, bits, tags)
    return np.asarray(image).reshape(shape)


def unpack_picture(streams: Sequence[bytes], structure: Structure) -> Image.Image:
    """Return the whole picture, of mode L, RGB or CMYK, of 8-bit samples that lie as Pillow holds them, in strips.

    Raises ImageError if a stream is damaged or too short.
    """
    tags = {266: structure.directory.number(266, 1), 317: structure.predictor}
    shape = (structure.height, structure.width)
    return _plain_tiff(streams, shape, structure.chunk_height, structure.compression, [8] * structure.samples, tags)


def unpack_bilevel(streams: Sequence[bytes], rows: int, rows_each: int, structure: Structure) -> Samples:
    """Return `rows` rows of samples, `(rows, width)`, 0 or 1, of CCITT fax compression."""
    tags = {tag: structure.directory.number(tag, 0) for tag in (292, 293) if tag in structure.directory}
    tags[266] = structure.directory.number(266, 1)
    shape = (rows, structure.chunk_width)
    return np.asarray(_plain_tiff(streams, shape, rows_each, structure.compression, [1], tags)).astype(np.uint8)


def _plain_tiff(
    streams: Sequence[bytes],
    shape: tuple[int, int],
    rows_each: int,
    compression: int,
    bits: list[int],
    tags: dict[int, int],
) -> Image.Image:
    """Return the picture of streams as strips of a TIFF of bytes, or of bits."""
    offsets = np.cumsum([8, *map(len, streams)], dtype=np.uint64)
    at = int(offsets[-1])
    if at >= 2**32 - 2**24:
        raise refusal("more than 4 GiB in one strip")
    entries = {
        256: [shape[1]],
        257: [shape[0]],
        258: bits,
        259: [compression],
        262: [_PHOTOMETRICS[len(bits)]],
        273: offsets[:-1].tolist(),
        277: [len(bits)],
        278: [rows_each],
        279: [len(stream) for stream in streams],
        **{tag: [value] for tag, value in tags.items()},
    }
    file = b"".join((b"II*\0", struct.pack("<L", at), *streams, _directory(entries, at)))
    try:
        image = TiffImageFile(io.BytesIO(file))
        # Where Pillow makes it, it asks a bound of its own, which is not the setting's.
        # Where Pillow makes it, it asks a bound of its own, which is not the setting's.
        image.im = Image.new(image.mode, image.size, None).im
        image.load()
    except Exception as exc:  # Pillow's plugins raise OSError, SyntaxError, struct.error and more
        raise corrupt(f"a strip or tile cannot be unpacked ({exc})") from exc
    return image


def _directory(entries: dict[int, list[int]], at: int) -> bytes:
    """Return a directory that lies at `at`, with its longer values behind it."""
    behind = at + 2 + 12 * len(entries) + 4
    head, tail = [struct.pack("<H", len(entries))], b""
    for tag, values in sorted(entries.items()):
        kind, letter = (_LONG, "L") if tag in _LONG_TAGS else (_SHORT, "H")
        raw = struct.pack(f"<{len(values)}{letter}", *values)
        place = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<L", behind + len(tail))
        head.append(struct.pack("<HHL", tag, kind, len(values)) + place)
        tail += raw if len(raw) > 4 else b""
    return b"".join((*head, bytes(4), tail))


def decode_chunk(chunk: bytes, rows: int, structure: Structure) -> Samples:
    """Return the samples of one strip or tile of JPEG or WebP, `(rows, width, samples)`; of YCbCr come RGB.

    rows: as many as the picture needs of it; more are cut off. Raises ImageError if it is damaged or of another size.
    """
    data = _whole_jpeg(chunk, structure) if structure.compression == JPEG else chunk
    try:
        image = (JpegImageFile if structure.compression == JPEG else WebPImageFile)(io.BytesIO(data))
        if image.width > structure.chunk_width or image.height > structure.chunk_height:
            raise corrupt("a strip or tile is larger than stated")
        image.load()
    except ImageError:
        raise
    except Exception as exc:
        raise corrupt(f"a strip or tile cannot be decoded ({exc})") from exc
    samples = np.asarray(image).reshape(image.height, image.width, -1)
    if structure.compression == WEBP and samples.shape[2] == 3 and structure.samples == 4:
        samples = np.concatenate([samples, np.full_like(samples[..., :1], 255)], axis=2)  # wholly opaque
    expected = (rows, structure.chunk_width, structure.chunk_samples)
    if samples.shape[0] < rows or samples.shape[1:] != expected[1:]:
        raise corrupt("a strip or tile is smaller than stated or of other bands")
    inverted = structure.photometric == CMYK or (structure.compression == JPEG and structure.chunk_samples == 4)
    return 255 - samples[:rows] if inverted else samples[:rows]  # Pillow takes JPEGs of four bands for Adobe's


def _whole_jpeg(chunk: bytes, structure: Structure) -> bytes:
    """Return a JPEG that needs no TIFF: with the tables that all chunks share, and its colours stated."""
    tables, _ = _segments(structure.directory.metadata(347))
    own, scans = _segments(chunk)
    frames = [segment for segment in own if segment[1] in _FRAMES]
    if len(frames) != 1 or not scans or chunk.count(bytes((0xFF, _SOS))) > MAX_SCANS:
        raise corrupt(f"a strip or tile is no JPEG of at most {MAX_SCANS} scans")
    if frames[0][1] not in _DCT_FRAMES or frames[0][4:5] != b"\x08":
        raise refusal("lossless, arithmetic or 12-bit JPEG compression")
    is_ycbcr = any(s[1] == _APP0 and s[4:9] == b"JFIF\0" for s in own) or any(
        s[1] == _APP14 and s[4:9] == b"Adobe" and s[15:16] != b"\0" for s in own
    )
    if structure.photometric == RGB and is_ycbcr:
        raise refusal("RGB whose JPEG strips say that they are YCbCr")
    kept = [s for s in (*tables, *own) if not _APP0 <= s[1] <= 0xEF and s[1] != _COMMENT]
    colours = b"\1" if structure.photometric == YCBCR else b"\0"
    return b"".join((b"\xff\xd8", _ADOBE, colours, *kept, scans))


def _segments(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the marker segments of a JPEG stream up to its first scan, and all from there on."""
    found: list[bytes] = []
    at = 2 if stream[:2] == b"\xff\xd8" else 0
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == _SOS:
            return found, stream[at:]
        if marker in (0xFF, _SOI, _EOI) or 0xD0 <= marker <= 0xD7:  # a fill byte, or markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        found.append(stream[at:end])
        at = end
    return found, b""
