"""TIFFs written by hand for tests: any tag with any value, strips or tiles, planes, packed bits, either byte order."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RAW, LZW, DEFLATE, PACKBITS, ZSTD = 1, 5, 8, 32773, 50000
_NAMES = {LZW: "tiff_lzw", PACKBITS: "packbits", ZSTD: "zstd"}
_LETTERS = {1: "B", 2: "s", 3: "H", 4: "L", 6: "b", 7: "s", 8: "h", 9: "l", 11: "f", 12: "d", 13: "L", 16: "Q"}
# (type of field, values); bytes stand for themselves.
Tag = tuple[int, Sequence[int | float] | bytes]


def tiff(directories: Sequence[Mapping[int, Tag]], blob: bytes = b"", order: str = "<", big: bool = False) -> bytes:
    """Return a file of directories in a row, behind `blob`, which lies at `first_byte(big)`."""
    header = {"<": b"II", ">": b"MM"}[order] + (
        struct.pack(order + "HHHQ", 43, 8, 0, 16 + len(blob)) if big else struct.pack(order + "HL", 42, 8 + len(blob))
    )
    file = header + blob
    for index, tags in enumerate(directories):
        file += directory(tags, len(file), order, big, is_last=index == len(directories) - 1)
    return file


def first_byte(big: bool = False) -> int:
    return 16 if big else 8


def directory(tags: Mapping[int, Tag], at: int, order: str = "<", big: bool = False, is_last: bool = True) -> bytes:
    """Return a directory that lies at `at`, its longer values behind it."""
    pointer = "Q" if big else "L"
    width = 8 if big else 4
    behind = at + (8 if big else 2) + (20 if big else 12) * len(tags) + width
    head, tail = struct.pack(order + ("Q" if big else "H"), len(tags)), b""
    for tag, (kind, values) in sorted(tags.items()):
        raw = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
        place = raw.ljust(width, b"\0") if len(raw) <= width else struct.pack(order + pointer, behind + len(tail))
        count = len(raw) // struct.calcsize(order + _LETTERS[kind]) if kind in _LETTERS else len(raw) // 8
        head += struct.pack(order + "HH" + pointer, tag, kind, count) + place
        tail += raw if len(raw) > width else b""
    return head + struct.pack(order + pointer, 0 if is_last else behind + len(tail)) + tail


def write(
    samples: NDArray[Any],
    photometric: int,
    bits: int,
    *,
    order: str = "<",
    big: bool = False,
    planar: bool = False,
    tile: tuple[int, int] | None = None,
    rows: int | None = None,
    compression: int = RAW,
    predictor: int = 1,
    tags: Mapping[int, Tag] | None = None,
) -> bytes:
    """Return a TIFF of samples, `(height, width, n)`, each stored with `bits`; `tile` is (height, width)."""
    height, width, count = samples.shape
    planes = [samples[..., i : i + 1] for i in range(count)] if planar else [samples]
    chunk = tile or (rows or height, width)
    chunks = [part for plane in planes for part in _cut(plane, chunk, pad=tile is not None)]
    packed = [
        _compressed(_predicted(_stored(part, bits, order), part, bits, predictor, order), compression)
        for part in chunks
    ]
    first = first_byte(big)
    offsets = np.cumsum([first, *map(len, packed)]).tolist()[:-1]
    sizes = [len(part) for part in packed]
    places: dict[int, Tag] = {273: (4, offsets), 278: (4, [chunk[0]]), 279: (4, sizes)}
    if tile:
        places = {322: (4, [tile[1]]), 323: (4, [tile[0]]), 324: (4, offsets), 325: (4, sizes)}
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    all_tags: dict[int, Tag] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * count),
        259: (3, [compression]),
        262: (3, [photometric]),
        277: (3, [count]),
        284: (3, [2 if planar else 1]),
        339: (3, [kind] * count),
        **places,
        **({317: (3, [predictor])} if predictor > 1 else {}),
        **(tags or {}),
    }
    return tiff([all_tags], b"".join(packed), order, big)


def _cut(plane: NDArray[Any], chunk: tuple[int, int], pad: bool) -> list[NDArray[Any]]:
    height, width, _ = plane.shape
    parts = [
        plane[y : y + chunk[0], x : x + chunk[1]] for y in range(0, height, chunk[0]) for x in range(0, width, chunk[1])
    ]
    if not pad:
        return parts
    return [np.pad(p, ((0, chunk[0] - p.shape[0]), (0, chunk[1] - p.shape[1]), (0, 0)), mode="edge") for p in parts]


def _stored(part: NDArray[Any], bits: int, order: str) -> bytes:
    """Return the bytes of rows; samples of other than whole bytes are packed, the highest bit first."""
    if bits % 8 == 0:
        return part.astype(part.dtype.newbyteorder("<" if order == "<" else ">")).tobytes()
    flat = part.reshape(part.shape[0], -1).astype(np.uint32)
    as_bits = (flat[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(as_bits.reshape(part.shape[0], -1).astype(np.uint8), axis=1).tobytes()


def _predicted(raw: bytes, part: NDArray[Any], bits: int, predictor: int, order: str) -> bytes:
    rows, width, count = part.shape
    if predictor == 2:
        values = np.frombuffer(raw, f"{order}u{bits // 8}").reshape(rows, width, count)
        return np.diff(values, axis=1, prepend=np.zeros((rows, 1, count), values.dtype)).astype(values.dtype).tobytes()
    if predictor == 3:
        as_bytes = np.frombuffer(part.astype(part.dtype.newbyteorder(">")).tobytes(), np.uint8)
        planes = as_bytes.reshape(rows, width * count, bits // 8).transpose(0, 2, 1).reshape(rows, -1, count)
        return np.diff(planes, axis=1, prepend=np.zeros((rows, 1, count), np.uint8)).astype(np.uint8).tobytes()
    return raw


def _compressed(raw: bytes, compression: int) -> bytes:
    if compression == RAW:
        return raw
    if compression in (DEFLATE, 32946):
        return zlib.compress(raw)
    file = io.BytesIO()
    Image.frombytes("L", (len(raw), 1), raw).save(file, "TIFF", compression=_NAMES[compression])
    written = Image.open(io.BytesIO(file.getvalue()))
    tags: Any = written.tag_v2  # type: ignore[attr-defined]
    assert len(tags[273]) == 1
    return file.getvalue()[tags[273][0] : tags[273][0] + tags[279][0]]
