"""The colours that an ISO media file states for its primary picture by code points (ISO/IEC 14496-12, 23008-12).

A file may hold other pictures with other colours, such as the brighter rendering of a gain map; theirs do not count.
"""

import struct
from collections.abc import Iterator

_MAX_BOXES = 10_000
_Box = tuple[bytes, int, int]  # type, where its body begins and ends


def primary_colours(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer (ITU-T H.273) of the primary picture; None if none are stated or damaged."""
    try:
        return _primary_colours(data)
    except (struct.error, IndexError, StopIteration):
        return None


def _primary_colours(data: bytes) -> tuple[int, int] | None:
    meta = _find(data, b"meta", 0, len(data))
    inner = meta[0] + 4, meta[1]
    item, _ = _find(data, b"pitm", *inner)
    (primary,) = struct.unpack_from(">I" if data[item] else ">H", data, item + 4)
    stated = _find(data, b"iprp", *inner)
    properties = list(_boxes(data, *_find(data, b"ipco", *stated)))
    associations, _ = _find(data, b"ipma", *stated)
    for index in _properties_of(primary, data, associations):
        name, start, end = properties[index - 1]
        if name == b"colr" and data[start : start + 4] == b"nclx" and end - start >= 8:
            primaries, transfer = struct.unpack_from(">HH", data, start + 4)
            return int(primaries), int(transfer)
    return None


def _boxes(data: bytes, at: int, end: int) -> Iterator[_Box]:
    """Yield the boxes that lie side by side."""
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        size, name, body = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], at + 8
        if size == 1:
            size, body = int.from_bytes(data[body : body + 8]), body + 8
        stop = end if size == 0 else at + size
        if not body <= stop <= end:
            return
        yield name, body, stop
        at = stop


def _find(data: bytes, wanted: bytes, at: int, end: int) -> tuple[int, int]:
    """Return where the body of the first box of a type begins and ends. Raises StopIteration without one."""
    return next((start, stop) for name, start, stop in _boxes(data, at, end) if name == wanted)


def _properties_of(item: int, data: bytes, at: int) -> list[int]:
    """Return the numbers, from 1, of the properties of an item. at: where the body of the ipma box begins."""
    version, is_wide = data[at], data[at + 3] & 1
    (count,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(min(count, _MAX_BOXES)):
        (number,) = struct.unpack_from(">I" if version else ">H", data, at)
        at += 4 if version else 2
        num_properties = data[at]
        found = struct.unpack_from(f">{num_properties}{'H' if is_wide else 'B'}", data, at + 1)
        if number == item:
            return [value & (0x7FFF if is_wide else 0x7F) for value in found]
        at += 1 + num_properties * (2 if is_wide else 1)
    return []
