"""WebP: the first picture of a file, lossy or not, without metadata that may be damaged."""

import struct
from collections.abc import Iterator

from PIL import Image, _webp

from runtime.formats.orientation import orientation_of
from runtime.formats.stored import ReadOptions, StoredPicture, check_pixels, damaged

_PICTURES = (b"VP8 ", b"VP8L", b"ANMF")
_MAX_CHUNKS = 10_000
_ALPHA, _ANIMATED = 0x10, 0x02


def read_webp(data: bytes, options: ReadOptions) -> StoredPicture:
    """Read a WebP; of an animated one the first frame, on its canvas. Raises ImageError."""
    chunks: dict[bytes, bytes] = {}
    for name, body, is_whole in _chunks(data):
        if not is_whole and name in _PICTURES and name not in chunks:
            raise damaged("the WebP ends before its pixels do")
        chunks.setdefault(name, body)
    picture = next((name for name in _PICTURES if name in chunks), None)
    if picture is None:
        raise damaged("the WebP ends before its pixels")
    width, height = _size(chunks, picture)
    check_pixels(width, height, options.max_pixels)
    decoder = _webp.WebPAnimDecoder(_file(chunks, picture))
    (width, height), _, _, _, mode = decoder.get_info()
    check_pixels(width, height, options.max_pixels)
    decoded = decoder.get_next()
    if decoded is None:
        raise damaged("the WebP's pixels are damaged")
    image = Image.frombuffer("RGB" if mode == "RGBX" else mode, (width, height), decoded[0], "raw", mode, 0, 1)
    return StoredPicture(image, (height, width), orientation_of(chunks.get(b"EXIF", b"")), chunks.get(b"ICCP", b""))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield name and body of each chunk, and whether it is all there: the last one may be cut off."""
    at, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    for _ in range(_MAX_CHUNKS):
        if at + 8 > end:
            return
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : min(end, at + 8 + length)], at + 8 + length <= end
        at += 8 + length + length % 2


def _size(chunks: dict[bytes, bytes], picture: bytes) -> tuple[int, int]:
    """Return width and height before anything is decoded, of the canvas if there is one."""
    canvas, body = chunks.get(b"VP8X", b""), chunks[picture]
    if len(canvas) >= 10:
        return 1 + int.from_bytes(canvas[4:7], "little"), 1 + int.from_bytes(canvas[7:10], "little")
    if picture == b"VP8 " and len(body) >= 10:
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    if picture == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise damaged("the WebP's header is damaged")


def _file(chunks: dict[bytes, bytes], picture: bytes) -> bytes:
    """Return a WebP of nothing but the first picture."""
    kept = [(picture, chunks[picture])]
    canvas = chunks.get(b"VP8X", b"")
    if len(canvas) >= 10:
        flags = canvas[0] & (_ALPHA | _ANIMATED if picture == b"ANMF" else _ALPHA)
        if picture == b"VP8 " and b"ALPH" in chunks:
            kept.insert(0, (b"ALPH", chunks[b"ALPH"]))
        if picture == b"ANMF":
            kept.insert(0, (b"ANIM", chunks.get(b"ANIM", b"\0" * 6)))
        kept.insert(0, (b"VP8X", bytes([flags]) + canvas[1:10]))
    body = b"".join(name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for name, part in kept)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
