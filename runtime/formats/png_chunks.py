"""The chunks of a PNG: those that make its pixels, and the few others that say how it looks.

Of the rest nothing is read, checked or unpacked: text, times and resolutions may be of any size, or damaged.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from runtime.formats.stored import damaged, not_accepted

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The least that encoders put into one IDAT is about 4 kB.
_MAX_CHUNKS = 100_000
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_SHOWING = (b"tRNS", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf")


@dataclass(slots=True)
class PngChunks:
    """What counts of a PNG. shown: by name, the body of each chunk of `_SHOWING` that is whole, the first of a name."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool
    palette: bytes = b""
    pixels: list[memoryview] = field(default_factory=list)
    shown: dict[bytes, bytes] = field(default_factory=dict)

    def file(self, transparency: bytes = b"") -> bytes:
        """Return a PNG of nothing but the pixels and, if given, their tRNS chunk."""
        header = struct.pack(">IIBBBBB", self.width, self.height, self.depth, self.colour, 0, 0, self.interlaced)
        parts: list[bytes | memoryview] = [SIGNATURE, _chunk(b"IHDR", header)]
        if self.palette:
            parts.append(_chunk(b"PLTE", self.palette))
        if transparency:
            parts.append(_chunk(b"tRNS", transparency))
        for body in self.pixels:
            # Pillow does not look at the checksum of pixels, which is checked here.
            parts += [struct.pack(">I", len(body)), b"IDAT", body, b"\0\0\0\0"]
        return b"".join((*parts, _chunk(b"IEND", b"")))

    def unpacked_size(self) -> int:
        """Return how many bytes the pixels have once unpacked, the filter byte of each row included."""
        bits = self.depth * SAMPLES[self.colour]
        passes = _PASSES if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for left, top, step_x, step_y in passes:
            width, height = -(-(self.width - left) // step_x), -(-(self.height - top) // step_y)
            if width > 0 and height > 0:
                total += height * (1 + (width * bits + 7) // 8)
        return total


# Adam7: where each pass begins and by how much it goes on.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def read_chunks(data: bytes) -> PngChunks:
    """Walk a PNG's chunks. data: begins with `SIGNATURE`.

    Raises ImageError if a chunk that makes pixels is damaged, missing or unknown.
    """
    found: PngChunks | None = None
    for name, body, checksum in _chunks(data):
        is_ancillary = bool(name[0] & 32)
        if is_ancillary and (name not in _SHOWING or zlib.crc32(body, zlib.crc32(name)) != checksum):
            continue
        if found is None:
            found = _header(name, body, checksum)
        elif is_ancillary:
            found.shown.setdefault(name, bytes(body))
        else:
            _take(found, name, body, checksum)
    if found is None or not found.pixels:
        raise damaged("the PNG ends before its pixels")
    if found.colour == 3 and not found.palette:
        raise damaged("the PNG has no palette")
    return found


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Yield each chunk's name, body and stated checksum, up to the end of the picture or of the file.

    A chunk that is cut off counts for nothing, since a picture that needs it is not whole without it.
    """
    view = memoryview(data)
    at = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        name, body = data[at + 4 : at + 8], at + 8
        end = body + int.from_bytes(data[at : at + 4])
        if not name or name == b"IEND" or end + 4 > len(data):
            if name in (b"IDAT", b"PLTE", b"IHDR"):
                raise damaged(f"the PNG ends in its chunk {name.decode()}")
            return
        if not name.isalpha():
            raise damaged(f"the PNG has a chunk named {name!r}")
        yield name, view[body:end], int.from_bytes(data[end : end + 4])
        at = end + 4
    raise damaged(f"the PNG has more than {_MAX_CHUNKS} chunks")


def _header(name: bytes, body: memoryview, checksum: int) -> PngChunks:
    if name == b"CgBI":
        raise not_accepted("a PNG of an iOS application (CgBI)")
    if name != b"IHDR" or len(body) != 13:
        raise damaged("the PNG does not begin with its header")
    _check(name, body, checksum)
    width, height, depth, colour, compression, filters, interlaced = struct.unpack(">IIBBBBB", body)
    if depth not in _DEPTHS.get(colour, ()) or compression or filters or interlaced > 1:
        raise damaged(f"the PNG's header is damaged: {depth} bits of colour type {colour}")
    return PngChunks(width, height, depth, colour, bool(interlaced))


def _take(found: PngChunks, name: bytes, body: memoryview, checksum: int) -> None:
    _check(name, body, checksum)
    if name == b"IDAT":
        found.pixels.append(body)
    elif name == b"PLTE":
        if found.colour == 3 and not found.palette:
            if len(body) % 3 or not 3 <= len(body) <= 768:
                raise damaged("the PNG's palette is damaged")
            found.palette = bytes(body)
    else:
        raise not_accepted(f"a PNG with the chunk {name.decode()}, which its pixels need and which is not known")


def _check(name: bytes, body: memoryview, checksum: int) -> None:
    if zlib.crc32(body, zlib.crc32(name)) != checksum:
        raise damaged(f"the checksum of the PNG's chunk {name.decode()} is wrong")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
