"""BMP: headers of Windows and OS/2, with any masks; what alpha means where programs disagree."""

import io
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from runtime.formats.stored import ReadOptions, StoredPicture, check_pixels, damaged, not_accepted

_FILE_HEADER = 14
_OS2_HEADER = 12
_HEADERS = (_OS2_HEADER, 40, 52, 56, 64, 108, 124)
_OS2_LONG_HEADER = 64
_PLAIN, _RLE8, _RLE4, _MASKS, _MASKS_WITH_ALPHA = 0, 1, 2, 3, 6
_NAMES = {4: "JPEG", 5: "PNG"}
_DEPTHS = {_PLAIN: (1, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,), _MASKS: (16, 32), _MASKS_WITH_ALPHA: (16, 32)}
_USUAL_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 24: (0xFF0000, 0xFF00, 0xFF, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_EMBEDDED_PROFILE = b"DEBM"  # "MBED" as a little-endian number


@dataclass(frozen=True, slots=True)
class _Header:
    """height is positive; `is_top_down` says which row comes first. pixels: where they begin in the file."""

    size: int
    width: int
    height: int
    is_top_down: bool
    bits: int
    compression: int
    pixels: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, which end at a multiple of four."""
        return (self.width * self.bits + 31) // 32 * 4


def read_bmp(data: bytes, options: ReadOptions) -> StoredPicture:
    """Read a BMP. Raises ImageError.

    Alpha that is 0 everywhere is no alpha: programs fill a mask that they do not use. Without a mask the fourth byte
    is none either.
    """
    header = _header(data)
    check_pixels(header.width, header.height, options.max_pixels)
    data = _padded(data, header)
    if header.bits < 16:
        image: Image.Image = BmpImageFile(io.BytesIO(data))
        image.load()
    elif header.compression == _PLAIN and header.bits > 16:
        image = _plain(data, header)
    else:
        image = Image.fromarray(_unmasked(data, header))
    return StoredPicture(image, (header.height, header.width), profile=_profile(data, header))


def _header(data: bytes) -> _Header:
    if len(data) < _FILE_HEADER + _OS2_HEADER:
        raise damaged("the BMP ends in its header")
    pixels, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADERS:
        raise not_accepted(f"a BMP with a header of {size} bytes")
    if len(data) < _FILE_HEADER + size:
        raise damaged("the BMP ends in its header")
    if 0 < pixels < _FILE_HEADER + size:
        raise damaged(f"the BMP states that its pixels begin at byte {pixels}, inside its header")
    compression = _PLAIN
    if size == _OS2_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression > _RLE4 and size == _OS2_LONG_HEADER:
        raise not_accepted(f"a BMP of OS/2 with compression {compression}")
    if bits not in _DEPTHS.get(compression, ()):
        raise not_accepted(f"a BMP of {bits} bits with compression {_NAMES.get(compression, compression)}")
    if not pixels and bits >= 16:  # as some write; with a palette Pillow knows
        behind = {_MASKS: 12, _MASKS_WITH_ALPHA: 16}.get(compression, 0) if size == 40 else 0
        pixels = _FILE_HEADER + size + behind
    return _Header(size, width, abs(height), height < 0, bits, compression, pixels)


def _padded(data: bytes, header: _Header) -> bytes:
    """Complete a file whose last row lacks nothing but the bytes that fill it up to a multiple of four."""
    if header.compression in (_RLE8, _RLE4):
        return data
    missing = header.pixels + header.height * header.row_bytes - len(data)
    is_filling = 0 < missing <= header.row_bytes - (header.width * header.bits + 7) // 8
    return data + bytes(missing) if is_filling else data


def _plain(data: bytes, header: _Header) -> Image.Image:
    """Read blue, green and red of 8 bits each, as nearly all files have them."""
    rows = data[header.pixels : header.pixels + header.height * header.row_bytes]
    if len(rows) < header.height * header.row_bytes:
        raise damaged("the BMP ends before its pixels do")
    kind = "BGR" if header.bits == 24 else "BGRX"
    direction = 1 if header.is_top_down else -1
    return Image.frombytes("RGB", (header.width, header.height), rows, "raw", kind, header.row_bytes, direction)


def _unmasked(data: bytes, header: _Header) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8, or 4 with alpha, of pixels that hold their samples under masks."""
    row_bytes = header.row_bytes
    if header.pixels + header.height * row_bytes > len(data):
        raise damaged("the BMP ends before its pixels do")
    rows = np.frombuffer(data, np.uint8, header.height * row_bytes, header.pixels).reshape(header.height, row_bytes)
    rows = rows[:, : header.width * header.bits // 8]
    rows = rows if header.is_top_down else rows[::-1]
    masks = _masks(data, header)
    if header.bits > 16 and all(mask in (0, 0xFF, 0xFF00, 0xFF0000, 0xFF000000) for mask in masks):
        pixels = rows.reshape(header.height, header.width, header.bits // 8)
        bands = [pixels[..., mask.bit_length() // 8 - 1] if mask else None for mask in masks]
    else:
        values = np.ascontiguousarray(rows).view("<u2" if header.bits == 16 else "<u4")
        bands = [_sample(values, mask) if mask else None for mask in masks]
    *colours, alpha = [np.zeros((header.height, header.width), np.uint8) if band is None else band for band in bands]
    return np.dstack([*colours, alpha] if alpha.any() else colours)


def _masks(data: bytes, header: _Header) -> tuple[int, ...]:
    """Return the masks of red, green, blue and alpha."""
    if header.compression == _PLAIN:
        return _USUAL_MASKS[header.bits]
    # Behind a header of 40 bytes, inside a longer one: the same place.
    count = 4 if header.size >= 56 or header.compression == _MASKS_WITH_ALPHA else 3
    if len(data) < 54 + 4 * count:
        raise damaged("the BMP ends in its masks")
    masks = (*struct.unpack_from(f"<{count}I", data, 54), 0)[:4]
    if not any(masks):
        return _USUAL_MASKS[header.bits]
    for mask in masks:
        run = mask // (mask & -mask) if mask else 0
        if run & (run + 1) or mask >> header.bits:
            raise damaged(f"the BMP's mask {mask:#x} is no run of bits in a pixel")
    return masks


def _sample(values: NDArray[np.uint16 | np.uint32], mask: int) -> NDArray[np.uint8]:
    """Take the bits of one mask and bring them to 0 to 255."""
    low = (mask & -mask).bit_length() - 1
    largest = mask >> low
    samples = (values & mask) >> low
    scaled: NDArray[np.uint8] = np.rint(samples * (255.0 / largest)).astype(np.uint8)
    return scaled


def _profile(data: bytes, header: _Header) -> bytes:
    """Return the ICC profile that a version 5 header points to."""
    if header.size != 124 or data[70:74] != _EMBEDDED_PROFILE:
        return b""
    offset, length = struct.unpack_from("<II", data, 126)
    return data[_FILE_HEADER + offset : _FILE_HEADER + offset + length]
